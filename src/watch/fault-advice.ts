import type { WatchTarget } from "./api-paths.ts";
import type { ApiFault, FaultKind } from "./fault.ts";
import type { WatchedObject } from "./watched-object.ts";
import { crdName } from "./watched-resource.ts";

/** What a person can do about a fault that waiting does not cure; `undefined` for those that it may. */
export function adviceFor<T extends WatchedObject>(
  fault: ApiFault,
  target: WatchTarget<T>,
): string | undefined {
  return tlsAdviceFor(fault) ?? kindAdviceFor(fault.code, target);
}

const TRUST =
  "the API server's certificate is signed by a CA that is not trusted here: give its CA in the kubeconfig (certificate-authority), or check that the server's URL is the right one";

/** By the code that Node gives a failed TLS handshake (X509 errors of OpenSSL, alerts of the server). */
const TLS_ADVICE: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED:
    "the API server's certificate, or its CA's, has expired: renew it on the server (kubeadm certs renew), or check the clock of this machine",
  CERT_NOT_YET_VALID: "the API server's certificate is not valid yet: check the clocks of both machines",
  CERT_REVOKED: "the API server's certificate was revoked: give the server another one",
  DEPTH_ZERO_SELF_SIGNED_CERT: TRUST,
  SELF_SIGNED_CERT_IN_CHAIN: TRUST,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: TRUST,
  UNABLE_TO_GET_ISSUER_CERT: TRUST,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: TRUST,
  CERT_SIGNATURE_FAILURE: TRUST,
  CERT_UNTRUSTED: TRUST,
  ERR_TLS_CERT_ALTNAME_INVALID:
    "the API server's certificate is for other names: use one of them in the server's URL, or set tls-server-name in the kubeconfig",
  ERR_SSL_WRONG_VERSION_NUMBER:
    "the server's URL says https, but what answers there does not speak TLS: check scheme and port",
};

/** Alerts (RFC 8446 6.2) of a server that does not like, or misses, the client's certificate. */
const CLIENT_CERTIFICATE_ALERT =
  /^ERR_SSL_.*ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(EXPIRED|REVOKED|UNKNOWN|REQUIRED)|UNKNOWN_CA|HANDSHAKE_FAILURE)$/;
const CLIENT_ADVICE =
  "the API server refused the TLS handshake: check that the client certificate of the kubeconfig (client-certificate, client-key) is there, is not expired and is signed by the cluster's CA";

/** Of what failed while TLS was agreed on; `undefined` for other faults. */
function tlsAdviceFor(fault: ApiFault): string | undefined {
  let cause: unknown = fault.cause;
  for (let depth = 0; depth < 5 && cause instanceof Error; depth++, cause = cause.cause) {
    const code = "code" in cause ? String(cause.code) : "";
    if (Object.hasOwn(TLS_ADVICE, code)) return TLS_ADVICE[code];
    if (CLIENT_CERTIFICATE_ALERT.test(code)) return CLIENT_ADVICE;
  }
  return undefined;
}

function kindAdviceFor<T extends WatchedObject>(
  fault: FaultKind,
  target: WatchTarget<T>,
): string | undefined {
  const { resource, scope, selector } = target;
  const crd = crdName(resource);
  const advice: Partial<Record<FaultKind, string>> = {
    unauthorized:
      "check the token or the client certificate of the kubeconfig, or the service account of the pod",
    forbidden:
      scope === ""
        ? `grant list and watch on ${crd} in all namespaces (a ClusterRole), or name the namespaces to watch`
        : `grant list and watch on ${crd} in namespace ${scope} (a Role)`,
    not_found:
      resource.group === ""
        ? "the server's URL is wrong"
        : `the CRD ${crd} is not installed, or does not serve ${resource.version}, or the server's URL is wrong`,
    bad_request: selector
      ? `check the label selector ${JSON.stringify(selector)}`
      : "check that the server's URL is a Kubernetes API server",
    credentials: "mend what the message names; it is read again before the next try",
    oversized: "raise the limit of an event or a page, or make the object smaller",
    internal: "this is a bug of the router; please report it",
  };
  return advice[fault];
}
