/*
 * What the texts of a route can look like when they come from Kubernetes. A push that looks otherwise is no manager's; kept,
 * it would have to be escaped for ever by whoever shows it.
 */

/** RFC 1123 label: `metadata.namespace`. */
const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
/** RFC 1123 subdomain, whose labels Kubernetes does not limit one by one: `metadata.name`. */
const SUBDOMAIN = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const MAX_NAME_CHARACTERS = 253;

/** The value of a label, here without its limit of 63 characters: a legacy ID is longer. */
const LABEL_VALUE = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
/** `namespace--name` at its longest. */
const MAX_ID_CHARACTERS = 63 + 2 + MAX_NAME_CHARACTERS;

/** Printable ASCII without spaces and what would open a tag. */
const WORD = /^[!-;=?-~]*$/;
/** UIDs are UUIDs, 36 characters long; states are words. */
const MAX_WORD_CHARACTERS = 128;

/** Owners are texts of people: anything but what does not show, or shows other than it is (controls, bidi marks), and tags. */
const OWNER = /^[^\p{C}\p{Zl}\p{Zp}<>]*$/u;
const MAX_OWNER_CHARACTERS = 1_024;

/** Whether a Kubernetes object can have this namespace and name. */
export function isObjectName(namespace: string, name: string): boolean {
  return LABEL.test(namespace) && name.length <= MAX_NAME_CHARACTERS && SUBDOMAIN.test(name);
}

/** Whether `routingId` can be given this as a label. */
export function isRoutingId(id: string): boolean {
  return id.length <= MAX_ID_CHARACTERS && LABEL_VALUE.test(id);
}

/** Whether this can be an object's UID. */
export function isUid(uid: string): boolean {
  return uid !== "" && isWord(uid);
}

/** Whether this can be a state: any word, or none. */
export function isState(state: string): boolean {
  return isWord(state);
}

/** Whether this can be an owner, or none. */
export function isOwner(owner: string): boolean {
  return owner.length <= MAX_OWNER_CHARACTERS && OWNER.test(owner);
}

function isWord(text: string): boolean {
  return text.length <= MAX_WORD_CHARACTERS && WORD.test(text);
}
