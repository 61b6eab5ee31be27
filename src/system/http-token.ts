/**
 * A token (RFC 9110 5.6.2): a method, a field name. Of bytes `OCTETS` in `proxy/http1` says the same, and `headerName` in
 * `config`, which knows no other room, of settings.
 */
export const HTTP_TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
