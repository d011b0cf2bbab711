-- Lists every version of every purpose key, wrapped.
SELECT purpose, version, wrapped FROM purpose_keys ORDER BY purpose, version
