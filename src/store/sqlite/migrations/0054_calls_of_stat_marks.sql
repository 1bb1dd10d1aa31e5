-- Which call a mark of figures is about, so that of the bins around it only those are counted again that have a call of the same
-- caller: to count every bin around each call cost more than everything else that a call costs.
ALTER TABLE stat_marks ADD COLUMN call_id BLOB;
