import { isDeepStrictEqual } from "node:util";
import type { KubeObject, ObjectMeta, ObjectRef, ObjectStore } from "../runtime/object-store.ts";
import type { Record } from "./step.ts";

/** The reading half of the port, which is all a plan may use. */
export type StoreReader = Pick<ObjectStore, "get" | "list">;

export interface RecordedStore {
  /** The port for one resource's pass, whose writes are noted for it. */
  port(record: Record): ObjectStore;
  /** Puts an object where a write would have put it. */
  imagine(object: KubeObject): void;
}

/** Reads what is there (`admit`: with the defaults that the API server fills in), notes what would be written, and shows it afterwards as if it were. */
export function recordedStore(reader: StoreReader, admit: (object: KubeObject) => KubeObject): RecordedStore {
  const imagined = new Map<string, KubeObject>();
  const idOf = ({ kind, namespace, name }: ObjectRef) => `${kind}/${namespace}/${name}`;
  const refOf = ({
    kind,
    metadata: { namespace, name },
  }: {
    kind: string;
    metadata: { namespace: string; name: string };
  }) => ({ kind, namespace, name });
  const get = async <T extends KubeObject>(ref: ObjectRef) =>
    (imagined.get(idOf(ref)) ?? (await reader.get(ref))) as T | undefined;
  const imagine = (object: KubeObject) => void imagined.set(idOf(refOf(object)), object);
  const never = (): never => {
    throw new Error("A plan writes nothing");
  };

  return {
    imagine,
    port: (record) => ({
      get,
      async list<T extends KubeObject>(
        kind: string,
        options: { namespace?: string; labels?: { [key: string]: string } } = {},
      ) {
        const { items: there } = await reader.list<T>(kind, options);
        const overlaid = new Map(there.map((object) => [idOf(refOf(object)), object as KubeObject]));
        for (const [id, object] of imagined) {
          if (object.kind === kind && (options.namespace ?? object.metadata.namespace) === object.metadata.namespace)
            overlaid.set(id, object);
        }
        const labelled = (object: KubeObject) =>
          Object.entries(options.labels ?? {}).every(([key, value]) => object.metadata.labels?.[key] === value);
        return { items: [...overlaid.values()].filter(labelled) as T[], resourceVersion: "0" };
      },
      async apply<T extends KubeObject>(configuration: {
        kind: string;
        metadata: { namespace: string; name: string };
      }) {
        const before = await get<T>(refOf(configuration));
        if (before === undefined)
          record("Kubernetes", "Create", `${configuration.kind} ${configuration.metadata.name}`);
        else if (!includes(before, configuration))
          record("Kubernetes", "Apply", `${configuration.kind} ${configuration.metadata.name}`);
        const metadata = { ...newMeta, ...before?.metadata, ...configuration.metadata };
        const next = admit({ ...before, ...configuration, metadata } as unknown as KubeObject) as T;
        imagine(next);
        return next;
      },
      async update(object) {
        record("Kubernetes", "Update", `${object.kind} ${object.metadata.name}`);
        imagine(object);
        return object;
      },
      async delete(ref) {
        record("Kubernetes", "Delete", `${ref.kind} ${ref.name}`);
      },
      async recordEvent() {},
      create: never,
      patchStatus: never,
      watch: never,
    }),
  };
}

const newMeta: Partial<ObjectMeta> = { uid: "new", resourceVersion: "0", generation: 1, creationTimestamp: "" };

/** Whether everything `stated` says is so in `found`, which may say more. */
function includes(found: unknown, stated: unknown): boolean {
  if (Array.isArray(stated)) {
    return (
      Array.isArray(found) &&
      found.length === stated.length &&
      stated.every((item, index) => includes(found[index], item))
    );
  }
  if (typeof stated === "object" && stated !== null && typeof found === "object" && found !== null) {
    return Object.entries(stated).every(([key, value]) => includes((found as { [key: string]: unknown })[key], value));
  }
  return isDeepStrictEqual(found, stated);
}
