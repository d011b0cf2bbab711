-- How a tenant's mails look.

-- Their language where neither customer nor browser says one (BCP 47). NULL: English.
ALTER TABLE tenants ADD COLUMN locale text CONSTRAINT tenants_locale_form CHECK (locale ~ '^[a-zA-Z-]{2,20}$');
-- Where answers to them go. NULL: to the sender.
ALTER TABLE tenants ADD COLUMN reply_to text CONSTRAINT tenants_reply_to_length CHECK (length(reply_to) <= 320);
