import { isDeepStrictEqual } from "node:util";
import { type ApplyConfiguration, ConflictError, InvalidError, type KubeObject } from "../runtime/object-store.ts";
import type { ApiClient } from "./api-client.ts";
import { FieldConflictError } from "./api-errors.ts";
import { type ManagedFields, ownedPart } from "./owned-fields.ts";

/** An object as the server keeps it, with who set which field. */
export type Stored = KubeObject & { metadata: { managedFields?: readonly ManagedFields[] } };

/** First without force: what a person changed by hand is taken back, what another applier states is a conflict. */
export async function applyTo(
  api: ApiClient,
  path: string,
  stated: ApplyConfiguration,
  manager: string,
): Promise<Stored> {
  const patch = (force: boolean) =>
    api.request<Stored>({
      ...{ method: "PATCH" as const, path, contentType: "application/apply-patch+yaml", body: stated },
      query: { fieldManager: manager, force: String(force) },
    });
  try {
    return await patch(false);
  } catch (error) {
    if (isAnotherUid(error)) throw new ConflictError(`${path} was deleted and made anew`);
    if (!(error instanceof FieldConflictError)) throw error;
    const live = await api.request<Stored>({ method: "GET", path });
    const appliers = live.metadata.managedFields?.filter(({ operation }) => operation === "Apply") ?? [];
    const rivals = error.managers.filter((name) => appliers.some(({ manager: applier }) => applier === name));
    if (rivals.length > 0) throw new ConflictError(`${error.message} (applied by ${rivals.join(", ")})`);
    return patch(true);
  }
}

/** What is stated, as the server keeps it: a Secret's stringData is data, which server-side apply does not see to. */
export function statedOnly({ status: _, stringData, ...configuration }: ApplyConfiguration): ApplyConfiguration {
  const plain = JSON.parse(JSON.stringify(configuration)) as ApplyConfiguration;
  if (typeof stringData !== "object" || stringData === null) return plain;
  const encoded = Object.entries(stringData).map(([name, text]) => [
    name,
    Buffer.from(String(text)).toString("base64"),
  ]);
  return { ...plain, data: { ...(plain["data"] as object | undefined), ...Object.fromEntries(encoded) } };
}

/** Whether the live object already is what the manager states, and the manager owns nothing beyond it. */
export function isApplied(live: Stored, stated: ApplyConfiguration, manager: string): boolean {
  const entries = live.metadata.managedFields ?? [];
  const own = entries.find(
    (entry) => entry.manager === manager && entry.operation === "Apply" && entry.subresource === undefined,
  );
  if (own?.fieldsV1 === undefined) return false;
  const { apiVersion: _version, kind: _kind, metadata, ...rest } = stated;
  const { name: _name, namespace: _namespace, uid, resourceVersion, ...stateMetadata } = metadata;
  if (uid !== undefined && uid !== live.metadata.uid) return false;
  if (resourceVersion !== undefined && resourceVersion !== live.metadata.resourceVersion) return false;
  const wanted = Object.keys(stateMetadata).length === 0 ? rest : { ...rest, metadata: stateMetadata };
  return isDeepStrictEqual(ownedPart(live, own.fieldsV1), wanted);
}

/** A stated uid that is not the object's: the server calls it a change of an immutable field. */
const isAnotherUid = (error: unknown) =>
  error instanceof InvalidError && error.causes.some(({ field }) => field === "metadata.uid");
