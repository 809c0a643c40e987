import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { kubernetesStore } from "../../operator/kubernetes/kubernetes-store.ts";
import { runCli } from "../cli/run.ts";
import { connectApi } from "./api.ts";

const { kubeconfig } = inject("controlPlane");
const api = connectApi(kubeconfig);

/** The commands of docs/command-line.md, whose pipeline is made here. */
const page = readFileSync(new URL("../../docs/command-line.md", import.meta.url), "utf8");
const [, block = ""] = /```sh\n([\s\S]*?)```/.exec(page) ?? [];
const lines = block.trim().split("\n");

beforeAll(async () => {
  const namespace = "team-a";
  const body = { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } };
  await api.request({ method: "POST", path: "/api/v1/namespaces", body });
  const store = kubernetesStore({ api, fieldManager: "page" });
  const pipeline = {
    ...{ apiVersion: "auditpipeline.io/v1alpha1", kind: "AuditPipeline", metadata: { name: "payments", namespace } },
    spec: { topic: {}, sinks: [{ name: "ledger", postgres: {} }] },
  };
  await store.apply(pipeline, { fieldManager: "page" });
  const ready = { type: "Ready", status: "True", reason: "Succeeded", message: "Fine", observedGeneration: 1 };
  const status = { observedGeneration: 1, conditions: [{ ...ready, lastTransitionTime: "2026-01-01T00:00:00Z" }] };
  await store.patchStatus({ kind: "AuditPipeline", namespace, name: "payments" }, status);
});
afterAll(() => api.close());

test.for(lines)("docs/command-line.md: %s", async (line) => {
  const [command, ...args] = line.split(" ");
  expect(command).toBe("audit-pipeline");
  const env = { KUBECONFIG: kubeconfig, AUDIT_PIPELINE_STATE: undefined };
  const { code, stderr } = await runCli(args, env);
  expect([code, stderr.replace(/^No resources found.*\n/, "")]).toEqual([0, ""]);
});
