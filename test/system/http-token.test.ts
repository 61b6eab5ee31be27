import { expect, test } from "vitest";
import { headerName } from "../../src/config/field-types.ts";
import { OCTETS, TOKEN } from "../../src/proxy/http1/octets.ts";
import { HTTP_TOKEN } from "../../src/system/http-token.ts";

test("bytes, texts and settings have one rule of what a token is (RFC 9110 5.6.2)", () => {
  const visible = Array.from({ length: 0x7f - 0x21 }, (_, i) => String.fromCharCode(0x21 + i));
  const tokens = visible.filter((char) => !'(),/:;<=>?@[\\]{}"'.includes(char));
  const all = Array.from({ length: 256 }, (_, octet) => String.fromCharCode(octet));
  expect(all.filter((char) => HTTP_TOKEN.test(char))).toEqual(tokens);
  expect(all.filter((char) => ((OCTETS[char.charCodeAt(0)] ?? 0) & TOKEN) !== 0)).toEqual(tokens);
  const setting = headerName("x", false, "");
  expect(all.filter((char) => setting.safeParse(char).success)).toEqual(tokens);
  expect(HTTP_TOKEN.test("")).toBe(false);
  expect(HTTP_TOKEN.test("a\n")).toBe(false);
});
