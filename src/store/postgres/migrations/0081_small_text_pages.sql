-- A text index keeps what was written last aside, and the writer who finds 4 MB of it moves all into the index. With 256 kB no
-- write waits long for it. Two of the indexes are made after the migrations, with this limit.
ALTER INDEX IF EXISTS customer_texts SET (gin_pending_list_limit = 256);
ALTER INDEX IF EXISTS message_texts SET (gin_pending_list_limit = 256);
ALTER INDEX account_texts SET (gin_pending_list_limit = 256);
ALTER INDEX contact_texts SET (gin_pending_list_limit = 256);
