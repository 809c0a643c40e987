import type { Receipts } from "../../operator/external/receipts.ts";
import type { KubeObject, ObjectRef, ObjectStore } from "../../operator/runtime/object-store.ts";
import type { Life } from "./life.ts";

/** What was applied last and what stood there afterwards: the same again changes nothing, and is no write. */
export type Applied = Map<string, string>;

/** The port to Kubernetes as one life of the operator sees it. Events are told, not relied on: they are no writes here. */
export function mortalStore(store: ObjectStore, life: Life, applied: Applied): ObjectStore {
  const write = <T>(verb: string, ref: ObjectRef, send: () => Promise<T>) =>
    life.write({ system: "Kubernetes", what: `${verb} ${ref.kind} ${ref.name}` }, send);

  return {
    get: (ref) => life.read(store.get(ref)),
    list: (kind, options) => life.read(store.list(kind, options)),
    watch: (kind, options) => store.watch(kind, options),
    create: (object) => write("create", refOf(object), () => store.create(object)),
    update: (object) => write("update", refOf(object), () => store.update(object)),
    delete: (ref, options) => write("delete", ref, () => store.delete(ref, options)),
    recordEvent: (event) => life.read(store.recordEvent(event)),
    patchStatus: (ref, status, options) => write("status", ref, () => store.patchStatus(ref, status, options)),

    async apply<T extends KubeObject>(object: Parameters<ObjectStore["apply"]>[0], options: { fieldManager: string }) {
      const ref = refOf(object);
      const state = async () => JSON.stringify([object, withoutStatus(await store.get(ref))]);
      const id = JSON.stringify(ref);
      if (applied.get(id) === (await state())) return life.read(store.apply<T>(object, options));
      return write("apply", ref, async () => {
        const result = await store.apply<T>(object, options);
        applied.set(id, await state());
        return result;
      });
    },
  };
}

export const mortalReceipts = (receipts: Receipts, life: Life): Receipts => ({
  read: (subject) => life.read(receipts.read(subject)),
  add: (subject, items) =>
    life.write({ system: "Receipts", what: `add ${items.map(({ kind, name }) => `${kind} ${name}`).join(", ")}` }, () =>
      receipts.add(subject, items),
    ),
});

const refOf = ({ kind, metadata }: { kind: string; metadata: { namespace: string; name: string } }): ObjectRef => ({
  kind,
  namespace: metadata.namespace,
  name: metadata.name,
});

function withoutStatus(object: (KubeObject & { status?: unknown }) | undefined) {
  if (object === undefined) return undefined;
  const { status: _status, metadata, ...rest } = object;
  return { ...rest, metadata: { ...metadata, resourceVersion: "" } };
}
