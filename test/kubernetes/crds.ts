import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { parse } from "yaml";
import type { ApiClient } from "../../operator/kubernetes/api-client.ts";

interface Crd {
  readonly metadata: { readonly name: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

const PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
export const crdFiles = ["auditpipeline.io_audittopics.yaml", "auditpipeline.io_auditpipelines.yaml"];

/** Applies our CRDs and waits until the server serves them. */
export async function installCrds(api: ApiClient): Promise<void> {
  for (const file of crdFiles) {
    const crd = parse(readFileSync(new URL(`../../crds/v1alpha1/${file}`, import.meta.url), "utf8")) as Crd;
    const path = `${PATH}/${crd.metadata.name}`;
    const query = { fieldManager: "test", force: "true" };
    await api.request({ method: "PATCH", path, query, body: crd, contentType: "application/apply-patch+yaml" });
    await established(api, path);
  }
}

async function established(api: ApiClient, path: string): Promise<void> {
  for (let round = 0; round < 100; round += 1) {
    const { status } = await api.request<Crd>({ method: "GET", path });
    if (status?.conditions?.some(({ type, status: value }) => type === "Established" && value === "True")) return;
    await delay(100);
  }
  throw new Error(`${path} was not established`);
}
