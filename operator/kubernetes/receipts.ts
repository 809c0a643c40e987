import { createHash } from "node:crypto";
import { mergedItems, type Receipt, type ReceiptSubject, type Receipts } from "../external/receipts.ts";
import { AlreadyExistsError, ConflictError, type KubeObject, type ObjectStore } from "../runtime/object-store.ts";

interface ConfigMap extends KubeObject {
  data?: Record<string, string>;
}

const KEY = "receipt.json";
const TRIES = 5;

/**
 * Receipts as ConfigMaps `receipt.<namespace>.<pipeline>` (for a topic `receipt.<namespace>.<name>.audittopic`) in the
 * operator's own namespace: a namespace that is going away takes no new objects.
 */
export function configMapReceipts(store: ObjectStore, namespace: string): Receipts {
  const refOf = (subject: Pick<ReceiptSubject, "kind" | "namespace" | "name">) => ({
    ...{ kind: "ConfigMap", namespace, name: receiptName(subject) },
  });
  const find = (subject: Pick<ReceiptSubject, "kind" | "namespace" | "name">) => store.get<ConfigMap>(refOf(subject));

  const add: Receipts["add"] = async (subject, items) => {
    const found = await find(subject);
    const receipt: Receipt = { subject, items: mergedItems(receiptIn(found), subject, items) };
    const data = { [KEY]: `${JSON.stringify(receipt, null, 2)}\n` };
    if (found !== undefined) await store.update({ ...found, data: { ...found.data, ...data } });
    else await store.create<ConfigMap>({ apiVersion: "v1", ...draftOf(refOf(subject), subject), data });
  };

  return {
    async read(subject) {
      return receiptIn(await find(subject));
    },
    async add(subject, items) {
      for (let left = TRIES; ; left -= 1) {
        try {
          return await add(subject, items);
        } catch (error) {
          // Another write came in between: read it again.
          if (left <= 1 || !(error instanceof ConflictError || error instanceof AlreadyExistsError)) throw error;
        }
      }
    },
  };
}

const draftOf = (
  { kind, namespace, name }: { kind: string; namespace: string; name: string },
  subject: ReceiptSubject,
) => ({
  kind,
  metadata: {
    ...{ name, namespace },
    labels: { "app.kubernetes.io/part-of": "audit-pipeline", "app.kubernetes.io/component": "receipt" },
    annotations: { "auditpipeline.io/receipt-of": `${subject.kind}/${subject.namespace}/${subject.name}` },
  },
});

const receiptIn = (found: ConfigMap | undefined): Receipt | undefined => {
  const text = found?.data?.[KEY];
  return text === undefined ? undefined : (JSON.parse(text) as Receipt);
};

/** Names of objects hold 253 characters; a longer one ends in a hash of the whole. */
function receiptName({ kind, namespace, name }: Pick<ReceiptSubject, "kind" | "namespace" | "name">): string {
  const whole = `receipt.${namespace}.${name}${kind === "AuditPipeline" ? "" : `.${kind.toLowerCase()}`}`;
  if (whole.length <= 253) return whole;
  const hash = createHash("sha256").update(whole).digest("hex").slice(0, 16);
  return `${whole.slice(0, 236).replace(/[-.]+$/, "")}.${hash}`;
}
