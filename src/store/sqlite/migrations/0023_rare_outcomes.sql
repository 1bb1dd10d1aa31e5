-- A page of the history of some people with an outcome that is rare: without this index all their calls were looked at.
INSERT INTO upgrade_steps (name) VALUES ('call_operators_by_outcome');
