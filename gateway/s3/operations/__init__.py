"""The operations of S3, one module a group; `handler` has the table that names them."""
