-- Tells the planner what an import changed, rather than leave it to the next autovacuum.
ANALYZE customers
