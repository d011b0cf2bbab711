-- Drops the mail that was due: its codes are dead.
DELETE FROM mail_due
