-- A page of the history of some people with an outcome that is rare: without this index all their calls were looked at.
INSERT INTO upgrade_steps (position, name)
SELECT coalesce(max(position), 0) + 1, 'call_operators_by_outcome' FROM upgrade_steps;
