"""REST: routes generated from the operation table, and the OpenAPI document that describes them."""
