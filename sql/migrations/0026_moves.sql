-- A tenant that moves to another cell.

-- Since when nothing of it is written: its calls get 503. NULL: it is not frozen.
ALTER TABLE tenants ADD COLUMN frozen_us bigint;
