import { readFileSync } from "node:fs";
import { afterAll, describe, expect, inject, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { kubernetesStore } from "../../operator/kubernetes/kubernetes-store.ts";
import type { ApplyConfiguration, KubeObject } from "../../operator/runtime/object-store.ts";
import { connectApi, newNamespace } from "./api.ts";

const api = connectApi(inject("controlPlane").kubeconfig);
afterAll(() => api.close());
const store = kubernetesStore({ api, fieldManager: "workload-test" });

type Pod = KubeObject & { spec: unknown };
type Deployment = KubeObject & { spec: { template: { metadata: object; spec: object } } };

const golden = (file: string) =>
  parseAllDocuments(readFileSync(new URL(`../golden/${file}`, import.meta.url), "utf8")).map(
    (document) => document.toJS() as ApplyConfiguration,
  );
const inNamespace = (object: ApplyConfiguration, namespace: string) => {
  const { ownerReferences: _, ...metadata } = object.metadata;
  return { ...object, metadata: { ...metadata, namespace } };
};

describe.for(["sink-workload.yaml", "sink-deployment-placed.yaml"])("%s", (file) => {
  test("is taken as it is, and the same again writes nothing", async () => {
    const namespace = await newNamespace(api, "workload");
    const objects = golden(file).map((object) => inNamespace(object, namespace));
    const options = { fieldManager: "workload-test" };
    for (const object of objects) {
      const applied = await store.apply(object, options);
      const again = kubernetesStore({ api, fieldManager: "workload-test" });
      const { metadata } = await again.apply(object, options);
      expect(metadata.resourceVersion, object.kind).toBe(applied.metadata.resourceVersion);
    }
  });

  test("has pods that a namespace of the restricted standard takes", async () => {
    const namespace = await newNamespace(api, "restricted");
    const enforce = { "pod-security.kubernetes.io/enforce": "restricted" };
    const path = `/api/v1/namespaces/${namespace}`;
    const contentType = "application/merge-patch+json";
    await api.request({ method: "PATCH", path, contentType, body: { metadata: { labels: enforce } } });
    const deployment = golden(file).find(({ kind }) => kind === "Deployment") as unknown as Deployment;
    const {
      serviceAccountName: _,
      priorityClassName: _class,
      ...spec
    } = deployment.spec.template.spec as Record<string, unknown>;
    const serviceAccount = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace } };
    await store.apply(serviceAccount, { fieldManager: "workload-test" });
    const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "sink", namespace }, spec };
    await expect(store.create<Pod>(pod)).resolves.toBeDefined();
    const open = { ...spec, hostNetwork: true };
    await expect(store.create<Pod>({ ...pod, metadata: { name: "open", namespace }, spec: open })).rejects.toThrow(
      /restricted/,
    );
  });
});
