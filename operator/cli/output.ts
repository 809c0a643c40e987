import { stringify } from "yaml";
import type { KubeObject } from "../runtime/object-store.ts";
import { columnsOf } from "./columns.ts";
import { qualifiedKind } from "./resource-names.ts";

export const formats = ["table", "wide", "json", "yaml", "name"] as const;
export type Format = (typeof formats)[number];

export interface Listing {
  kind: string;
  items: readonly KubeObject[];
}

export interface ListOptions {
  format: Format;
  /** Show the namespace of each. */
  allNamespaces: boolean;
  /** Exactly one object was asked for by name. */
  single: boolean;
  now: number;
}

/** What `get` prints. Pure. */
export function renderListings(listings: readonly Listing[], options: ListOptions): string {
  const items = listings.flatMap((listing) => listing.items).map(withoutManagers);
  const [only] = items;
  const value = options.single && only !== undefined ? only : { apiVersion: "v1", kind: "List", items };
  if (options.format === "json") return `${JSON.stringify(value, null, 2)}\n`;
  if (options.format === "yaml") return stringify(value);
  if (options.format === "name") {
    return items.map(({ kind, metadata }) => `${qualifiedKind(kind)}/${metadata.name}\n`).join("");
  }
  const several = listings.filter((listing) => listing.items.length > 0);
  return several.map((listing) => tableOf(listing, options, several.length > 1)).join("\n");
}

/** As kubectl leaves it out: who set which field says nothing of the object. */
function withoutManagers<T extends KubeObject>(object: T): T {
  const { managedFields: _, ...metadata } = object.metadata as KubeObject["metadata"] & { managedFields?: unknown };
  return { ...object, metadata };
}

function tableOf({ kind, items }: Listing, { format, allNamespaces, now }: ListOptions, prefixed: boolean): string {
  const columns = columnsOf(kind).filter(({ wide }) => !wide || format === "wide");
  const named = kind !== "Event";
  const header = [
    ...(allNamespaces ? ["NAMESPACE"] : []),
    ...(named ? ["NAME"] : []),
    ...columns.map(({ name }) => name),
  ];
  const rows = items.map((object) => [
    ...(allNamespaces ? [object.metadata.namespace] : []),
    ...(named ? [prefixed ? `${qualifiedKind(kind)}/${object.metadata.name}` : object.metadata.name] : []),
    ...columns.map(({ cell }) => cell(object, now)),
  ]);
  return renderTable([header, ...rows]);
}

/** Left-aligned columns, three blanks apart. Control characters cannot reach the terminal. Pure. */
export function renderTable(rows: readonly (readonly string[])[]): string {
  const clean = rows.map((row) => row.map((cell) => cell.replaceAll(/\p{Cc}+/gu, " ")));
  const widths = (clean[0] ?? []).map((_, index) => Math.max(...clean.map((row) => row[index]?.length ?? 0)));
  const lines = clean.map((row) =>
    row
      .map((cell, index) => cell.padEnd((widths[index] ?? 0) + 3))
      .join("")
      .trimEnd(),
  );
  return lines.map((line) => `${line}\n`).join("");
}
