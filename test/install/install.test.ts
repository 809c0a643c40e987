import { afterEach, describe, expect, it } from "vitest";
import { chart, helm, installRelease, kubectl, type Manifest, RELEASE, removeRelease, SYSTEM } from "./tools.ts";

const kinds =
  "deployments,configmaps,services,serviceaccounts,networkpolicies,roles,rolebindings,clusterroles,clusterrolebindings,customresourcedefinitions,validatingadmissionpolicies,validatingadmissionpolicybindings";

/** What the release made → uid and generation: what helm wrote again has another generation. */
async function installed(): Promise<Record<string, string>> {
  const text = await kubectl("get", kinds, "-A", "-l", "helm.sh/chart", "-o", "json");
  const { items } = JSON.parse(text) as { items: Manifest[] };
  return Object.fromEntries(
    items.map(({ kind, metadata }) => [`${kind}/${metadata.name}`, `${metadata.uid} ${metadata.generation ?? "-"}`]),
  );
}

afterEach(() => removeRelease());

describe("helm", () => {
  it("is told by the API server that it takes all of it, before anything is there", async () => {
    expect(await installRelease("--dry-run=server")).toContain("kind: ValidatingAdmissionPolicy");
    expect(await installed()).toEqual({});
  });

  it.for(["true", "false"])(
    "installs, upgrades without a change and uninstalls, with --server-side=%s",
    async (mode) => {
      await installRelease(`--server-side=${mode}`);
      const before = await installed();
      expect(Object.keys(before).length).toBeGreaterThan(15);
      await helm("upgrade", RELEASE, chart, "--namespace", SYSTEM, `--server-side=${mode}`);
      expect(await installed()).toEqual(before);
      await helm("uninstall", RELEASE, "--namespace", SYSTEM);
      expect(Object.keys(await installed()).sort()).toEqual([
        "CustomResourceDefinition/auditpipelines.auditpipeline.io",
        "CustomResourceDefinition/audittopics.auditpipeline.io",
      ]);
    },
  );

  it("takes definitions up again that an earlier release left, with the resources in them", async () => {
    await installRelease();
    await kubectl("wait", "crd/audittopics.auditpipeline.io", "--for=condition=Established", "--timeout=60s");
    const before = await installed();
    await helm("uninstall", RELEASE, "--namespace", SYSTEM);
    await installRelease();
    const key = "CustomResourceDefinition/audittopics.auditpipeline.io";
    expect((await installed())[key]).toBe(before[key]);
  });
});
