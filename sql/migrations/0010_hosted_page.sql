-- What the hosted login page of a tenant needs: /t/{slug}/login.

-- Where a login may go back to, compared as a whole. No URL, no hosted page.
ALTER TABLE tenants ADD COLUMN return_urls text[] NOT NULL DEFAULT '{}'
    CONSTRAINT tenants_return_urls_count CHECK (cardinality(return_urls) <= 20);
-- The page's accent. NULL: the page's own.
ALTER TABLE tenants ADD COLUMN colour text CONSTRAINT tenants_colour_form CHECK (colour ~ '^#[0-9a-f]{6}$');
