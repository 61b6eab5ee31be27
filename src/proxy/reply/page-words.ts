import type { RefusalReason } from "./reasons.ts";

/** What a page says to a person who opened a link and has never heard of Lychgate. `<port>` is filled in. */
export interface PageWords {
  /** What happened, in a few words. */
  readonly title: string;
  /** The same in one sentence. */
  readonly what: string;
  /** What the reader can do. */
  readonly advice: string;
  /** Seconds after which the page asks again by itself (`Refresh`), where the state passes soon. */
  readonly refreshS?: number;
}

const OWNER =
  "If it stays so, tell whoever gave you the link; the reason and the request ID below help them.";
const AGAIN = `Try again in a moment. ${OWNER}`;
const SOON = "This page asks again by itself.";
const LINK = "Check the address, or ask whoever gave you the link for a new one.";
const FRONT = "This is for whoever runs this service: the reason below says what to change.";

const NOT_HTTP: PageWords = {
  title: "This address does not work like that",
  what: "What came here is not a request that this service understands.",
  advice: FRONT,
};

const NOT_FOR_EVERYONE: PageWords = {
  title: "Not for everyone",
  what: "This sandbox is private, and your request did not show that you may see it.",
  advice: "Ask its owner for access.",
};

const NO_ANSWER: PageWords = {
  title: "No answer",
  what: "The sandbox is there, but the program on its port <port> did not answer in time.",
  advice: AGAIN,
};

const BROKEN: PageWords = {
  title: "The program broke off",
  what: "The program on port <port> of the sandbox ended the connection, or sent something that is no web page.",
  advice: `It may have crashed or be starting anew. ${AGAIN}`,
};

const UNCERTAIN: PageWords = {
  title: "Not sure where the sandbox is",
  what: "The sandbox may just have moved, so for safety nothing is sent to it for a moment.",
  advice: AGAIN,
};

/** The words for each reason. */
export const PAGE_WORDS: Readonly<Record<RefusalReason, PageWords>> = {
  not_ready: {
    title: "Just starting",
    what: "This service has just been started and does not know the sandboxes yet.",
    advice: SOON,
    refreshS: 2,
  },
  no_sandbox: {
    title: "There is nothing here",
    what: "This address names no sandbox.",
    advice: LINK,
  },
  bad_target: {
    title: "This address can't be right",
    what: "The name of the sandbox or its port in this address is not a possible one.",
    advice: LINK,
  },
  bad_request: {
    title: "The request was not understood",
    what: "What your program sent is not valid HTTP.",
    advice:
      "Reload the page. If that does not help, delete the cookies of this page, or try another browser.",
  },
  tls_on_plain_port: NOT_HTTP,
  plain_on_tls_port: {
    title: "This address begins with https",
    what: "The address that you opened begins with http://, and this service takes only https:// there.",
    advice: "Put https:// in front of the address.",
  },
  https_redirect: {
    title: "This address begins with https",
    what: "The same page is at an address that begins with https://.",
    advice: "Put https:// in front of the address.",
  },
  client_certificate: {
    title: "A certificate is needed",
    what: "This service lets in only browsers and programs that show a certificate that it trusts.",
    advice: "Ask whoever runs this service for one, or choose another where your browser asks.",
  },
  http2_on_plain_port: NOT_HTTP,
  proxy_protocol: NOT_HTTP,
  version_not_supported: NOT_HTTP,
  misdirected_request: {
    title: "Wrong connection",
    what: "The request came on a connection that was made for another address.",
    advice: "Load the page again: your browser will open a connection of its own.",
  },
  method_not_allowed: NOT_HTTP,
  max_forwards: {
    title: "Answered by the gateway",
    what: "The request asked not to be passed on to the sandbox.",
    advice: "There is nothing to do.",
  },
  loop_detected: {
    title: "Going in circles",
    what: "The request came back to this service, which would pass it on forever.",
    advice: "The program in the sandbox passes requests on to its own public address: change that.",
  },
  headers_too_large: {
    title: "Too many cookies",
    what: "Your browser sent more along with the request than this service takes.",
    advice: "Delete the cookies of this page and reload it.",
  },
  request_timeout: {
    title: "The request took too long",
    what: "Your request did not arrive whole in time.",
    advice: "Check your connection and try again.",
  },
  client_too_slow: {
    title: "The request took too long",
    what: "Your data arrived too slowly.",
    advice: "Check your connection and try again.",
  },
  sandbox_not_found: {
    title: "No such sandbox",
    what: "The sandbox of this address does not exist: it has ended, or the address is wrong.",
    advice: LINK,
  },
  sandbox_id_conflict: {
    title: "Two sandboxes, one name",
    what: "Two sandboxes have the name in this address, so it is not known which of them is meant.",
    advice: OWNER,
  },
  pod_ip_reassigned: UNCERTAIN,
  pod_ip_not_allowed: {
    title: "The sandbox can't be reached",
    what: "The sandbox has an address that no sandbox may have.",
    advice: FRONT,
  },
  sandbox_paused: {
    title: "The sandbox is paused",
    what: "The sandbox sleeps, and with it what was to be seen here.",
    advice: "Resume it where it was started, then reload this page.",
  },
  wake_failed: {
    title: "The sandbox does not wake up",
    what: "The sandbox sleeps, and it could not be woken for your request.",
    advice: AGAIN,
  },
  wake_unavailable: {
    title: "The sandbox can't be woken now",
    what: "The sandbox sleeps, and what could wake it does not answer.",
    advice: AGAIN,
  },
  sandbox_waking: {
    title: "The sandbox is waking up",
    what: "The sandbox slept, and your request has woken it: it will be here in a moment.",
    advice: SOON,
    refreshS: 2,
  },
  sandbox_creating: {
    title: "The sandbox is starting",
    what: "The sandbox is being made and will be here in a moment.",
    advice: SOON,
    refreshS: 2,
  },
  sandbox_in_doubt: { ...UNCERTAIN, advice: `${SOON} ${OWNER}`, refreshS: 2 },
  sandbox_dead: {
    title: "The sandbox has ended",
    what: "The sandbox was stopped for good, and what was to be seen here is gone with it.",
    advice: "Start a new one, or ask whoever gave you the link.",
  },
  sandbox_not_running: {
    title: "The sandbox does not run",
    what: "The sandbox exists, but it does not run now.",
    advice: AGAIN,
  },
  address_not_allowed: {
    title: "Not from here",
    what: "This service takes no requests from your network.",
    advice: "If you usually reach it through a VPN or from an office, connect to that and try again.",
  },
  rate_limited: {
    title: "Too many requests",
    what: "So many requests came in a short time that this one was not taken.",
    advice: AGAIN,
  },
  sandbox_private: {
    title: "This page is private",
    what: "Port <port> of this sandbox is open only to people with a link to it.",
    advice: "Ask its owner for a preview link.",
  },
  preview_token_invalid: {
    title: "This link does not work any more",
    what: "The preview link has expired or was revoked, or it is for another page.",
    advice: "Ask whoever gave you the link for a new one.",
  },
  cross_site: {
    title: "Asked by another site",
    what: "A page of another site wanted to change something in this sandbox, in your name.",
    advice: "Open the sandbox by itself and try there.",
  },
  preview_entered: {
    title: "Going on",
    what: "The link is good, and the page opens now.",
    advice: "If it does not, allow cookies for this address.",
  },
  traffic_token_invalid: NOT_FOR_EVERYONE,
  traffic_token_mismatch: NOT_FOR_EVERYONE,
  unauthorized: NOT_FOR_EVERYONE,
  jwt_verifier_not_ready: {
    title: "Access can't be checked",
    what: "This sandbox is private, and at the moment nobody's access can be checked.",
    advice: AGAIN,
  },
  upstream_refused: {
    title: "Nothing runs on this port",
    what: "The sandbox is there, but no program listens on its port <port>.",
    advice:
      "Start the program in the sandbox, have it listen on all addresses (0.0.0.0), and reload this page.",
  },
  upstream_unreachable: {
    title: "The sandbox can't be reached",
    what: "The sandbox should run, but no connection to it can be made.",
    advice: AGAIN,
  },
  upstream_reset: BROKEN,
  upstream_protocol: BROKEN,
  incarnation_ended: {
    title: "The sandbox ended",
    what: "The sandbox was stopped, paused or moved while your request was on its way.",
    advice: AGAIN,
  },
  connect_timeout: {
    title: "The sandbox can't be reached",
    what: "No connection to port <port> of the sandbox could be made in time.",
    advice: AGAIN,
  },
  first_byte_timeout: NO_ANSWER,
  upstream_idle_timeout: NO_ANSWER,
  client_closed: NO_ANSWER,
  draining: {
    title: "Back in a moment",
    what: "The server that took your request is about to stop; another takes its place.",
    advice: "Reload the page.",
  },
  overloaded: {
    title: "Too much at once",
    what: "So many requests are on their way that yours could not be taken.",
    advice: AGAIN,
  },
  internal_error: {
    title: "Our fault",
    what: "This service made an error with your request.",
    advice: OWNER,
  },
};
