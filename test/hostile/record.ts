import type { Header } from "../support/reference-chain.ts";

/** A record as a producer sends it. */
export interface HostileRecord {
  readonly value: Buffer | null;
  readonly headers: readonly Header[];
}

/** What must become of a record that nobody sent before: its event is in the ledger, or it is a dead letter of this class and reason. */
export type Fate = "Stored" | `${"Malformed" | "Invalid" | "TooLarge" | "Unstorable"}/${string}`;

export interface HostileCase {
  readonly name: string;
  /** In profile AuditEvent, tenant from the header. */
  readonly fate: Fate;
  /** In profile CloudEvent with the pipeline's tenant, where that is another. */
  readonly loose?: Fate;
  /** `id` is one nobody else has. */
  readonly make: (id: string) => HostileRecord;
}

export const TENANT = "acme";
export const MAX_SIZE = 262_144;
export const tenantHeader: Header = ["audit-tenant", Buffer.from(TENANT)];
const structuredType: Header = ["content-type", Buffer.from("application/cloudevents+json")];

export type Json = Record<string, unknown>;

export const event = (id: string) => ({
  specversion: "1.0",
  id,
  source: "/hostile",
  type: "com.example.hostile",
  time: "2026-11-05T10:00:00Z",
  data: { actor: { id: "alice" }, action: "approve", outcome: "success" } as Json,
});

export const structured = (value: Buffer | string | null, headers: readonly Header[] = [structuredType]) => ({
  value: typeof value === "string" ? Buffer.from(value) : value,
  headers: [...headers, tenantHeader],
});

export const structuredEvent = (body: unknown): HostileRecord => structured(JSON.stringify(body));

export const attributeHeaders = (attributes: Readonly<Record<string, string | Buffer | null>>): Header[] =>
  Object.entries(attributes).map(([name, text]) => [`ce_${name}`, text === null ? null : Buffer.from(text)]);

/** Binary content mode: attributes in headers, data as the value. */
export function binary(
  id: string,
  value: Buffer | string | null = JSON.stringify(event(id).data),
  over: Readonly<Record<string, string | Buffer | null | undefined>> = {},
  contentType = "application/json",
): HostileRecord {
  const { data: _, ...attributes } = event(id);
  const given = Object.entries({ ...attributes, ...over }).filter(([, text]) => text !== undefined);
  const headers = attributeHeaders(Object.fromEntries(given) as Record<string, string | Buffer | null>);
  return {
    value: typeof value === "string" ? Buffer.from(value) : value,
    headers: [...headers, ["content-type", Buffer.from(contentType)], tenantHeader],
  };
}

/** The JSON of an event with `text` in place of a marker: what JSON.stringify would never write. */
export function spliced(body: (marker: string) => unknown, text: Buffer | string): Buffer {
  const marker = "@here@";
  const json = JSON.stringify(body(marker));
  const at = json.indexOf(`"${marker}"`);
  if (at < 0) throw new Error("The marker is not in the event");
  return Buffer.concat([
    Buffer.from(json.slice(0, at)),
    Buffer.from(text),
    Buffer.from(json.slice(at + marker.length + 2)),
  ]);
}

/** The event with one more member of data, written as it is. */
export const dataWith = (id: string, text: Buffer | string): Buffer =>
  spliced((marker) => ({ ...event(id), data: { ...event(id).data, x: marker } }), text);
