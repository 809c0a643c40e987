/**
 * What became of each object outside when a resource was deleted. It is kept outside the namespace that may be going
 * away too, and it is read again when a resource of the same name comes back: Kafka has no labels, so a retained topic's
 * id in the receipt is what says that it was ours.
 */
export interface ReceiptItem {
  readonly kind: string;
  readonly name: string;
  /** What tells this object from another of the same name: a topic's id. */
  readonly id?: string;
  /** Of a topic; default Created. */
  readonly ownership?: "Created" | "Adopted";
  readonly action: "Deleted" | "Retained" | "Orphaned";
  readonly reason: string;
  /** RFC 3339. */
  readonly at: string;
}

export interface ReceiptSubject {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface Receipt {
  readonly subject: ReceiptSubject;
  readonly items: readonly ReceiptItem[];
}

export interface Receipts {
  /** The receipt of the last resource of this kind and name, whatever its uid. */
  read(subject: Pick<ReceiptSubject, "kind" | "namespace" | "name">): Promise<Receipt | undefined>;
  /**
   * Adds items: those of a former resource of the same name stay, an item of the same kind and name is replaced. Durable
   * when it returns, so that what it tells about may go.
   */
  add(subject: ReceiptSubject, items: readonly ReceiptItem[]): Promise<void>;
}

/**
 * The items of a receipt after more became known. Those of a former resource of the name stay; of the same resource an
 * item that was deleted keeps what was said of it first: a deletion that was cut short and goes on finds it gone, and must
 * not tell that it never was there.
 */
export function mergedItems(
  before: Receipt | undefined,
  { uid }: ReceiptSubject,
  items: readonly ReceiptItem[],
): ReceiptItem[] {
  const isSame = (one: ReceiptItem, other: ReceiptItem) => one.kind === other.kind && one.name === other.name;
  const isTold = (old: ReceiptItem, item: ReceiptItem) =>
    before?.subject.uid === uid && old.action === "Deleted" && item.action === "Deleted" && old.id === item.id;
  const kept = (before?.items ?? []).filter((old) => items.every((item) => !isSame(old, item) || isTold(old, item)));
  return [...kept, ...items.filter((item) => !kept.some((old) => isSame(old, item)))];
}
