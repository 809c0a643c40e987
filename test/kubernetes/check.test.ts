import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { parse } from "yaml";
import { kubectlOf } from "../../hack/cluster/kubectl.ts";
import { type Crd, compareCrd } from "../../operator/kubernetes/preflight.ts";
import { runCli } from "../cli/run.ts";
import { connectApi } from "./api.ts";
import { crdFiles } from "./crds.ts";

const { kubeconfig, kubeconfigs } = inject("controlPlane");
const api = connectApi(kubeconfig);
const kubectl = kubectlOf(kubeconfig);
const env = (file: string) => ({ KUBECONFIG: file, AUDIT_PIPELINE_STATE: undefined, CONFIG_PATH: undefined });

interface Found {
  findings: { check: string; result: string; detail: string }[];
}

async function check(file = kubeconfig) {
  const { code, stdout } = await runCli(["check", "-o", "json"], env(file));
  const { findings } = JSON.parse(stdout) as Found;
  const resultOf = (name: string) => findings.find(({ check: what }) => what.startsWith(name));
  return { code, resultOf };
}

beforeAll(async () => {
  await kubectl(["create", "namespace", "audit-pipeline-system"]);
});
afterAll(() => api.close());

describe("audit-pipeline check", () => {
  test("names every right that is missing, and none once config/rbac is applied", async () => {
    const before = await check();
    expect(before.code).toBe(1);
    const { result, detail = "" } = before.resultOf("Rights of audit-pipeline-system") ?? {};
    expect(result).toBe("Failed");
    expect(detail).toContain("patch auditpipelines/status.auditpipeline.io");
    expect(detail).toContain("get namespaces kube-system");

    await kubectl(["apply", "-k", fileURLToPath(new URL("../../config/rbac", import.meta.url))]);
    await expect.poll(async () => (await check()).code, { timeout: 30_000 }).toBe(0);
    const after = await check();
    expect(after.resultOf("Kubernetes")?.detail).toMatch(/^v1\.\d+\.\d+/);
    expect(after.resultOf("CRD auditpipelines")).toMatchObject({ result: "Ok" });
    expect(after.resultOf("Back-ends")).toMatchObject({ result: "Skipped" });

    const patch = '[{"op":"remove","path":"/rules/1/verbs/3"}]';
    await kubectl(["patch", "clusterrole", "audit-pipeline-operator", "--type=json", "-p", patch]);
    const missing = async () => (await check()).resultOf("Rights of audit-pipeline-system")?.detail;
    await expect.poll(missing, { timeout: 30_000 }).toMatch(/^missing: update auditpipelines.auditpipeline.io; /);
  });

  test("says what it may not look at, and does not call that a failure", async () => {
    const { code, resultOf } = await check(kubeconfigs.nobody);
    expect(resultOf("CRD audittopics")).toMatchObject({ result: "Skipped" });
    expect(resultOf("Rights")).toMatchObject({ result: "Skipped" });
    expect(code).toBe(0);
  });

  test.for(crdFiles)("tells %s of this version from another and from none", async (file) => {
    const ours = parse(readFileSync(new URL(`../../crds/v1alpha1/${file}`, import.meta.url), "utf8")) as Crd;
    expect(await compareCrd(api, ours)).toBe("Same");
    const versions = ours.spec.versions.map((version) => ({ ...version, schema: {} }));
    expect(await compareCrd(api, { ...ours, spec: { versions } })).toBe("Other");
    expect(await compareCrd(api, { ...ours, metadata: { name: `other${ours.metadata.name}` } })).toBe("Missing");
  });
});
