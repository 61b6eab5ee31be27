import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { findPrograms } from "./support/programs.ts";

test("etcd and kube-apiserver of KUBEBUILDER_ASSETS are taken, and nothing is found while another is missing", () => {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-assets-"));
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });
  vi.stubEnv("KUBEBUILDER_ASSETS", folder);
  vi.stubEnv("LYCHGATE_TEST_PROGRAMS", join(folder, "cache"));
  for (const name of ["etcd", "kube-apiserver"]) writeFileSync(join(folder, name), "");
  expect(findPrograms(["etcd", "etcdctl", "kube-apiserver"])).toBeUndefined();
  expect(findPrograms(["etcd", "kube-apiserver"])).toEqual({
    etcd: join(folder, "etcd"),
    "kube-apiserver": join(folder, "kube-apiserver"),
  });
});
