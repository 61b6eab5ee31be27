import { isIPv4, isIPv6 } from "node:net";

/** Whether `text` is an address, or a CIDR whose address has no bit set beyond the length. */
export function isAlignedCidr(text: string): boolean {
  const [address = "", lengthText, ...more] = text.split("/");
  const bits = bitsOf(address);
  if (bits === undefined || more.length > 0) return false;
  if (lengthText === undefined) return true;
  const length = /^(0|[1-9]\d{0,2})$/.test(lengthText) ? Number(lengthText) : bits.length + 1;
  return length <= bits.length && !bits.slice(length).includes("1");
}

/** An address as 32 or 128 binary digits. */
function bitsOf(address: string): string | undefined {
  if (isIPv4(address)) return binary(address.split("."), 10, 8);
  if (!isIPv6(address) || address.includes("%")) return undefined;
  // URL writes an embedded IPv4 address as two groups.
  const hex = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = "", tail = ""] = hex.split("::");
  const [before, after] = [head, tail].map((part) => (part === "" ? [] : part.split(":")));
  const given = [...(before ?? []), ...(after ?? [])].length;
  const zeros = Array.from({ length: 8 - given }, () => "0");
  return binary([...(before ?? []), ...zeros, ...(after ?? [])], 16, 16);
}

function binary(groups: readonly string[], base: number, width: number): string {
  return groups.map((group) => Number.parseInt(group, base).toString(2).padStart(width, "0")).join("");
}
