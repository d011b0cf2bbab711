-- Which way a tenant's mails leave.

-- Names of mail providers in the settings, in order. NULL: as everybody's.
ALTER TABLE tenants ADD COLUMN mail_providers text[] CONSTRAINT tenants_mail_providers_count CHECK (cardinality(mail_providers) BETWEEN 1 AND 8);
