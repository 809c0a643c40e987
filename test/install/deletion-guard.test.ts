import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { connectApi, newNamespace } from "../kubernetes/api.ts";
import { installRelease, type Manifest, removeRelease, until } from "./tools.ts";

const api = connectApi(inject("apiServer").kubeconfig);
const CONFIRM = "auditpipeline.io/confirm-delete";
const root = (namespace: string, plural: string) => `/apis/auditpipeline.io/v1alpha1/namespaces/${namespace}/${plural}`;
const CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
let namespace = "";

beforeAll(async () => {
  await installRelease();
  namespace = await newNamespace(api, "guard");
  // A policy is enforced a moment after it was accepted.
  await until(async () => (await refusalOf(await make("audittopics", { deletionPolicy: "Delete" }))) !== undefined);
});
afterAll(async () => {
  await removeRelease();
  await api.close();
});

let made = 0;

/** A resource of a name of its own; answers its path. */
async function make(plural: string, spec: object, metadata: object = {}, confirm?: string): Promise<string> {
  made += 1;
  const name = `one-${made}`;
  const body = {
    ...{ apiVersion: "auditpipeline.io/v1alpha1", kind: plural === "audittopics" ? "AuditTopic" : "AuditPipeline" },
    metadata: {
      name,
      ...metadata,
      ...(confirm === undefined ? {} : { annotations: { [CONFIRM]: confirm.replace("NAME", name) } }),
    },
    spec,
  };
  await api.request({ method: "POST", path: root(namespace, plural), body });
  return `${root(namespace, plural)}/${name}`;
}

/** Why a deletion would be refused; undefined where it would not. Nothing is deleted. */
async function refusalOf(path: string): Promise<string | undefined> {
  try {
    await api.request({ method: "DELETE", path, query: { dryRun: "All" } });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const owner = [
  { apiVersion: "auditpipeline.io/v1alpha1", kind: "AuditPipeline", name: "p", uid: "0-0", controller: true },
];
const foreign = [{ apiVersion: "apps/v1", kind: "Deployment", name: "p", uid: "0-0", controller: true }];

describe("the deletion of an AuditTopic", () => {
  it.for<[string, object, object, string | undefined, boolean]>([
    ["that keeps its topics", { deletionPolicy: "Retain" }, {}, undefined, true],
    ["that says nothing of it", {}, {}, undefined, true],
    ["that destroys, unconfirmed", { deletionPolicy: "Delete" }, {}, undefined, false],
    ["confirmed for another", { deletionPolicy: "Delete" }, {}, "another", false],
    ["confirmed by its name", { deletionPolicy: "Delete" }, {}, "NAME", true],
    ["that goes with its pipeline", { deletionPolicy: "Delete" }, { ownerReferences: owner }, undefined, true],
    ["that something else owns", { deletionPolicy: "Delete" }, { ownerReferences: foreign }, undefined, false],
  ])("%s is decided rightly", async ([, spec, metadata, confirm, allowed]) => {
    const refusal = await refusalOf(await make("audittopics", spec, metadata, confirm));
    expect(refusal ?? "allowed").toMatch(allowed ? /^allowed$/ : /To destroy them: kubectl annotate/);
  });

  it("is refused with what to do", async () => {
    const path = await make("audittopics", { deletionPolicy: "Delete" });
    const name = path.split("/").at(-1);
    const refusal = await refusalOf(path);
    expect(refusal).toContain(`kubectl annotate -n ${namespace} audittopic ${name} ${CONFIRM}=${name}`);
    expect(refusal).toContain("set spec.deletionPolicy to Retain");
  });
});

describe("the deletion of an AuditPipeline", () => {
  const policy = fc.constantFrom(undefined, "Retain", "Delete");
  const confirmation = fc.constantFrom(undefined, "another", "NAME");

  it("needs the annotation exactly where a ledger or the topic would be destroyed", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(policy, { minLength: 1, maxLength: 4 }),
        policy,
        confirmation,
        async (ledgers, topic, confirm) => {
          const sinks = ledgers.map((database, at) => ({
            name: `sink-${at}`,
            postgres: { database: `db_${at}` },
            ...(database === undefined ? {} : { deletionPolicy: { database } }),
          }));
          const template = topic === undefined ? {} : { template: { deletionPolicy: topic } };
          const refusal = await refusalOf(await make("auditpipelines", { sinks, topic: template }, {}, confirm));
          const destroys = [...ledgers, topic].includes("Delete");
          expect(refusal === undefined).toBe(!destroys || confirm === "NAME");
          for (const [at, database] of ledgers.entries()) {
            if (refusal !== undefined) expect(refusal.includes(`sink-${at}`)).toBe(database === "Delete");
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("of all in a namespace stops at the first that is not confirmed", async () => {
    await make("auditpipelines", { sinks: [{ name: "ledger", postgres: {}, deletionPolicy: { database: "Delete" } }] });
    await expect(
      api.request({ method: "DELETE", path: root(namespace, "auditpipelines"), query: { dryRun: "All" } }),
    ).rejects.toThrow(CONFIRM);
  });

  it("is never what holds up a namespace that goes", async () => {
    const going = await newNamespace(api, "going");
    const path = `${root(going, "auditpipelines")}/held`;
    const body = {
      ...{ apiVersion: "auditpipeline.io/v1alpha1", kind: "AuditPipeline" },
      metadata: { name: "held", finalizers: ["example.com/hold"] },
      spec: { sinks: [{ name: "ledger", postgres: {}, deletionPolicy: { database: "Delete" } }] },
    };
    await api.request({ method: "POST", path: root(going, "auditpipelines"), body });
    expect(await refusalOf(path)).toContain(CONFIRM);
    await api.request({ method: "DELETE", path: `/api/v1/namespaces/${going}` });
    const read = () => api.request<Manifest & { metadata: { deletionTimestamp?: string } }>({ method: "GET", path });
    await until(async () => (await read()).metadata.deletionTimestamp !== undefined);
    const patch = { metadata: { finalizers: null } };
    await api.request({ method: "PATCH", path, body: patch, contentType: "application/merge-patch+json" });
  });
});

describe("the deletion of a definition", () => {
  const path = `${CRDS}/audittopics.auditpipeline.io`;
  const annotate = (value: string | null) =>
    api.request({
      ...{ method: "PATCH", path, contentType: "application/merge-patch+json" },
      body: { metadata: { annotations: { [CONFIRM]: value } } },
    });

  it("is refused until it is confirmed by its name", async () => {
    expect(await refusalOf(path)).toContain("every resource of its kind");
    await annotate("audittopics.auditpipeline.io");
    expect(await refusalOf(path)).toBeUndefined();
    await annotate(null);
  });

  it("is nobody's concern where it is somebody else's", async () => {
    const names = { plural: "others", singular: "other", kind: "Other", listKind: "OtherList" };
    const schema = { openAPIV3Schema: { type: "object" } };
    const versions = [{ name: "v1", served: true, storage: true, schema }];
    const body = {
      ...{ apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition" },
      metadata: { name: "others.example.com" },
      spec: { group: "example.com", scope: "Namespaced", names, versions },
    };
    await api.request({ method: "POST", path: CRDS, body });
    await api.request({ method: "DELETE", path: `${CRDS}/others.example.com` });
  });
});

it("has no expression that the API server's type checker warns of", async () => {
  interface Policy {
    readonly metadata: { readonly name: string };
    readonly status?: {
      readonly observedGeneration?: number;
      readonly typeChecking?: { readonly expressionWarnings?: unknown[] };
    };
  }
  const path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
  const list = async () =>
    (await api.request<{ items: Policy[] }>({ method: "GET", path })).items.filter(({ metadata }) =>
      metadata.name.startsWith("audit-pipeline-"),
    );
  await until(async () => (await list()).every(({ status }) => status?.typeChecking !== undefined));
  const found = await list();
  expect(found).toHaveLength(3);
  expect(found.flatMap(({ status }) => status?.typeChecking?.expressionWarnings ?? [])).toEqual([]);
});
