export { ADDRESS_TYPE_URL, AUTHORIZATION_TYPE_URL, type XdsTypeUrl } from "./type-urls.ts";
