import { afterAll, beforeAll, describe, expect, inject, it, test } from "vitest";
import { ApiError } from "../../operator/kubernetes/api-errors.ts";
import { InvalidError } from "../../operator/runtime/object-store.ts";
import { type CorpusFile, corpus } from "../corpus/read.ts";
import { connectApi, newNamespace } from "./api.ts";
import { crdFiles, installCrds } from "./crds.ts";

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string | undefined };
}

const api = connectApi(inject("controlPlane").kubeconfig);
let namespace = "";
beforeAll(async () => {
  namespace = await newNamespace(api, "corpus");
});
afterAll(() => api.close());

it("takes both CRDs, the cost of their rules included", async () => {
  await installCrds(api);
  expect(crdFiles).toHaveLength(2);
});

describe("the corpus gets the same answers from the API server as from the schemas", () => {
  test.for(corpus("accepted"))("accepted: $name", async (file) => {
    expect(await faults(file)).toEqual([]);
  });

  test.for(corpus("refused"))("refused: $name", async (file) => {
    const { field = "" } = file;
    const found = await faults(file);
    expect(found.some((fault) => names(fault, field))).toBe(true);
    expect(found.filter((fault) => !names(fault, field) && !isAround(fault, field))).toEqual([]);
  });
});

/** The fields in which the API server finds fault with the object, or with its update; none: it takes it. */
async function faults({ before, object }: CorpusFile): Promise<readonly string[]> {
  try {
    if (before === undefined) await create(object as Manifest, "All");
    else await update(before as Manifest, object as Manifest);
    return [];
  } catch (error) {
    if (error instanceof InvalidError) return error.causes.map(({ field }) => field);
    // What cannot even be read is no 422: no such kind, or `fieldValidation=Strict` by its own words.
    if (error instanceof ApiError && error.code === 404) return [isOurs(object) ? "kind" : "apiVersion"];
    if (error instanceof ApiError && error.code === 400) return fieldsIn(error.message);
    throw error;
  }
}

const isOurs = (object: unknown) => (object as Manifest).apiVersion === "auditpipeline.io/v1alpha1";

/** What it says of an object it cannot read, in words only. */
function fieldsIn(message: string): string[] {
  if (message.includes("the namespace of the provided object does not match")) return ["metadata.namespace"];
  const strict = /(?:unknown|duplicate) field "([^"]+)"|Go struct field ObjectMeta\.(?:metadata\.)?(\S+) of type/g;
  return [...message.matchAll(strict)].map(([, unknown, mistyped]) => unknown ?? `metadata.${mistyped ?? ""}`);
}

/** An API server calls the whole object `<nil>`, a map's key `.key`, and what is wrong in metadata by the map it is in. */
function names(fault: string, field: string): boolean {
  if (field.startsWith("metadata.") && isAround(fault, field)) return true;
  return plain(fault) === plain(field) || plain(fault).startsWith(`${plain(field)}.`);
}

/** A rule of the object it is in may fail by the same value. */
const isAround = (fault: string, field: string) => fault === "<nil>" || plain(field).startsWith(`${plain(fault)}.`);

const plain = (field: string) => field.replaceAll(/\[([^\]]*)\]/g, ".$1");

/** As the manifest says it, the namespace apart. */
const collection = ({ apiVersion, kind }: Manifest) =>
  `/apis/${apiVersion}/namespaces/${namespace}/${kind.toLowerCase()}s`;

function create(object: Manifest, dryRun?: "All"): Promise<Manifest> {
  const query = { dryRun, fieldValidation: "Strict" };
  return api.request<Manifest>({ method: "POST", path: collection(object), query, body: moved(object) });
}

async function update(before: Manifest, object: Manifest): Promise<void> {
  const path = `${collection(before)}/${before.metadata.name}`;
  const made = await create(before);
  try {
    const body = { ...object, metadata: { ...made.metadata, ...moved(object).metadata } };
    await api.request({ method: "PUT", path, query: { dryRun: "All", fieldValidation: "Strict" }, body });
  } finally {
    await api.request({ method: "DELETE", path });
  }
}

/** From the namespace the corpus names, where it is that, to the one of this run. */
const moved = ({ metadata, ...object }: Manifest): Manifest => ({
  ...object,
  metadata: { ...metadata, namespace: metadata.namespace === "team-a" ? namespace : metadata.namespace },
});
