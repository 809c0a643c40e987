import { AUDIT_PIPELINE, type AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { ReceiptItem } from "../external/receipts.ts";
import { type Deps, rfc3339 } from "./deps.ts";

export type Settled = Omit<ReceiptItem, "at">;

/** Notes what became of objects. What stands there in the same words keeps its time, so that a repeated pass writes nothing. */
export async function addToReceipt(
  pipeline: AuditPipeline,
  items: readonly Settled[],
  { receipts, now }: Deps,
): Promise<void> {
  const { namespace, name, uid } = pipeline.metadata;
  const subject = { kind: AUDIT_PIPELINE.kind, namespace, name, uid };
  const receipt = await receipts.read(subject);
  const isNoted = (item: Settled) =>
    receipt?.subject.uid === uid && receipt.items.some((noted) => saysTheSame(noted, item));
  const fresh = items.filter((item) => !isNoted(item));
  const at = rfc3339(now());
  if (fresh.length > 0)
    await receipts.add(
      subject,
      fresh.map((item) => ({ ...item, at })),
    );
}

const saysTheSame = (noted: ReceiptItem, { kind, name, id, action, reason }: Settled) =>
  noted.kind === kind && noted.name === name && noted.id === id && noted.action === action && noted.reason === reason;
