/** `routes.podCidrs` of tests: the pods of tests are on loopback; all that is not special is allowed as by default. */
export const TEST_POD_CIDRS: readonly string[] = ["127.0.0.0/8", "0.0.0.0/0", "::/0"];
