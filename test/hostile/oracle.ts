import { type Header, isBinaryMode } from "../support/reference-chain.ts";
import type { Fate, HostileRecord, Json } from "./record.ts";

/**
 * What is wrong with a record, by the rules that producers are told (the README's event format), written a second time: nothing
 * here comes from the sink. All that is wrong is named, since which of it is said first is nobody's concern.
 */

export interface Rules {
  readonly profile: "AuditEvent" | "CloudEvent";
  /** Undefined: the header audit-tenant says it. */
  readonly tenant: string | undefined;
  readonly maxSize: number;
}

export interface Judged {
  /** Empty: the record is an event. */
  readonly faults: ReadonlySet<Fate>;
  readonly tenant: string;
  readonly source: string;
  readonly id: string;
}

const INDEX_BYTES = 2_600;

export function judge(record: HostileRecord, rules: Rules): Judged {
  const faults = new Set<Fate>();
  const tenant = tenantOf(record.headers, rules, faults);
  const content = contentOf(record, rules, faults);
  if (content === undefined) return { faults, tenant, source: "", id: "" };

  const { attributes, data } = content;
  const version = own(attributes, "specversion");
  if (version === undefined) faults.add("Invalid/MissingAttribute");
  else if (version !== "1.0") faults.add("Malformed/UnsupportedSpecVersion");
  for (const name of ["id", "source", "type", "subject"]) {
    const value = own(attributes, name);
    if (value === undefined && name !== "subject") faults.add("Invalid/MissingAttribute");
    if (value !== undefined && !isAttributeText(value)) faults.add("Invalid/InvalidValue");
  }
  const time = own(attributes, "time");
  if (time === undefined && rules.profile === "AuditEvent") faults.add("Invalid/MissingAttribute");
  if (time !== undefined && !isTime(time)) faults.add("Invalid/InvalidTime");
  const { source, id, type } = attributes;
  if (bytesOf(source, id) > INDEX_BYTES || bytesOf(type) > INDEX_BYTES) faults.add("Unstorable/TooLarge");
  judgeData(data, rules, faults);
  return { faults, tenant, source: String(source), id: String(id) };
}

/** Undefined for absent and for null, which CloudEvents take for the same. */
function own(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Json)[name] ?? undefined;
}

const bytesOf = (...texts: unknown[]) => texts.reduce<number>((sum, text) => sum + Buffer.byteLength(String(text)), 0);

function isAttributeText(value: unknown): boolean {
  if (typeof value !== "string" || value === "" || !value.isWellFormed()) return false;
  return [...value].every((char) => {
    const point = char.codePointAt(0) ?? 0;
    const isControl = point < 0x20 || (point >= 0x7f && point <= 0x9f);
    const isNonCharacter = (point >= 0xfdd0 && point <= 0xfdef) || (point & 0xfffe) === 0xfffe;
    return !isControl && !isNonCharacter;
  });
}

function textOf(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function tenantOf(headers: readonly Header[], { tenant }: Rules, faults: Set<Fate>): string {
  if (tenant !== undefined) return tenant;
  const given = headers.filter(([name]) => name === "audit-tenant").map(([, value]) => value);
  const [value] = given;
  if (value === undefined || value === null || value.length === 0) {
    faults.add("Invalid/MissingTenant");
    return "";
  }
  const text = textOf(value);
  if (text === undefined) faults.add("Malformed/InvalidUtf8");
  if (given.length > 1 || value.length > 255 || !isAttributeText(text ?? "?")) faults.add("Invalid/InvalidValue");
  return text ?? "";
}

interface Content {
  readonly attributes: Json;
  readonly data: unknown;
}

/** Undefined where there is nothing to look at further. */
function contentOf({ value, headers }: HostileRecord, rules: Rules, faults: Set<Fate>): Content | undefined {
  if ((value?.length ?? 0) > rules.maxSize) {
    faults.add("TooLarge/TooLarge");
    return undefined;
  }
  return isBinaryMode(headers) ? binaryContent(headers, value, rules, faults) : structuredContent(value, rules, faults);
}

function parsed(bytes: Buffer, faults: Set<Fate>): unknown {
  const text = textOf(bytes);
  if (text === undefined) {
    faults.add("Malformed/InvalidUtf8");
    return undefined;
  }
  try {
    return JSON.parse(text);
  } catch {
    faults.add("Malformed/InvalidJson");
    return undefined;
  }
}

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function structuredContent(value: Buffer | null, rules: Rules, faults: Set<Fate>): Content | undefined {
  const attributes = parsed(value ?? Buffer.alloc(0), faults);
  if (faults.has("Malformed/InvalidUtf8") && attributes === undefined) return undefined;
  if (!isObject(attributes)) {
    faults.add("Malformed/InvalidJson");
    return undefined;
  }
  const base64 = own(attributes, "data_base64");
  if (base64 === undefined) return { attributes, data: own(attributes, "data") };
  if (own(attributes, "data") !== undefined || typeof base64 !== "string" || !isBase64(base64)) {
    faults.add("Invalid/InvalidValue");
    return { attributes, data: undefined };
  }
  const type = own(attributes, "datacontenttype");
  if (typeof type === "string" && !isJson(type)) return { attributes, data: undefined };
  return { attributes, data: dataOf(Buffer.from(base64, "base64"), rules, faults) };
}

/** Whole groups of four, padded, as RFC 4648 section 4 has it. */
const isBase64 = (text: string) => text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);

function binaryContent(headers: readonly Header[], value: Buffer | null, rules: Rules, faults: Set<Fate>): Content {
  const attributes: Json = Object.create(null) as Json;
  for (const [name, bytes] of headers.filter(([header]) => header.startsWith("ce_"))) {
    if (Object.hasOwn(attributes, name.slice(3))) faults.add("Invalid/InvalidValue");
    const text = bytes === null ? undefined : textOf(bytes);
    if (bytes !== null && text === undefined) faults.add("Malformed/InvalidUtf8");
    attributes[name.slice(3)] = text;
  }
  const type = headers.find(([name]) => name === "content-type")?.[1]?.toString("latin1");
  if (type !== undefined && !isJson(type)) return { attributes, data: undefined };
  return { attributes, data: dataOf(value ?? Buffer.alloc(0), rules, faults) };
}

/** `type/json` or `type/…+json`, parameters aside. */
function isJson(type: string): boolean {
  const [essence = ""] = type.split(";");
  const [, sub, ...more] = essence
    .replaceAll(/^[ \t]+|[ \t]+$/g, "")
    .toLowerCase()
    .split("/");
  if (sub === undefined || essence.replaceAll(/^[ \t]+/g, "").startsWith("/")) return false;
  const last = [sub, ...more].join("/");
  return last === "json" || last.endsWith("+json");
}

function dataOf(bytes: Buffer, { profile }: Rules, faults: Set<Fate>): unknown {
  if (bytes.length === 0) return undefined;
  const own = new Set<Fate>();
  const data = parsed(bytes, own);
  if (profile === "AuditEvent") for (const fault of own) faults.add(fault);
  return data ?? undefined;
}

function isTime(value: unknown): boolean {
  if (typeof value !== "string") return false;
  const match = /^(\d{4}-\d\d-\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.exec(value);
  if (match === null) return false;
  const [, day = "", hour, minute, second, , zone = "Z"] = match;
  const [zoneHour, zoneMinute] = zone.length === 1 ? [0, 0] : [Number(zone.slice(1, 3)), Number(zone.slice(4))];
  const isDay = new Date(`${day}T00:00:00Z`).toJSON()?.startsWith(day) ?? false;
  return isDay && Number(hour) < 24 && Number(minute) < 60 && Number(second) <= 60 && zoneHour < 24 && zoneMinute < 60;
}

/** What the audit columns need of data. */
function judgeData(data: unknown, { profile }: Rules, faults: Set<Fate>): void {
  const isStrict = profile === "AuditEvent";
  if (isStrict && data === undefined) return void faults.add("Invalid/MissingField");
  if (!isObject(data)) return void (isStrict && faults.add("Invalid/InvalidValue"));
  const [actor, target] = [data["actor"], isStrict || isObject(own(data, "target")) ? own(data, "target") : undefined];
  const object = target ?? own(data, "resource");
  if (isStrict && ((actor !== undefined && !isObject(actor)) || (object !== undefined && !isObject(object))))
    faults.add("Invalid/InvalidValue");

  const texts = [own(actor, "id"), data["action"], data["outcome"], own(actor, "type"), data["reason"]];
  for (const [n, text] of [...texts, own(object, "type"), own(object, "id")].entries()) {
    const isRequired = isStrict && n < 3;
    if (isRequired && (text === undefined || text === null)) faults.add("Invalid/MissingField");
    if (isRequired && text === "") faults.add("Invalid/InvalidValue");
    if (isStrict && text !== undefined && text !== null && typeof text !== "string") faults.add("Invalid/InvalidValue");
    if (typeof text === "string" && (text.includes("\0") || !text.isWellFormed()))
      faults.add("Unstorable/InvalidValue");
  }
  const { action, outcome } = data;
  if (isStrict && typeof outcome === "string" && !["success", "failure", "denied"].includes(outcome))
    faults.add("Invalid/InvalidValue");
  const held = [[own(actor, "id")], [action, outcome], [own(object, "id")]];
  if (held.some((row) => bytesOf(...row.filter((text) => typeof text === "string")) > INDEX_BYTES))
    faults.add("Unstorable/TooLarge");
}
