import { isAscii, isUtf8 } from "node:buffer";
import { auditColumns, object } from "./audit-columns.ts";
import { type AuditEvent, type Decoded, RejectedError, type Rejection } from "./event.ts";
import { binaryModeSha256, encodeHeaders, eventKey, sha256 } from "./identity.ts";
import { compileShape, readFields } from "./json-fields.ts";
import { type JsonValue, topLevelMember, wholeValue } from "./json-scan.ts";
import { jsonbAccepts } from "./jsonb-limits.ts";
import type { LogRecord } from "./kafka/port.ts";
import { attribute, fitsIndex, isAttributeText, requiredAttribute, trimSpaces } from "./text.ts";
import { parseTimestamp } from "./timestamp.ts";

export interface CodecOptions {
  readonly profile: "AuditEvent" | "CloudEvent";
  /** The tenant of every event, or undefined where the record header `audit-tenant` names it. */
  readonly tenant: string | undefined;
  readonly maxSize: number;
}

const EMPTY = Buffer.alloc(0);
const STRUCTURED = "application/cloudevents";

/** CloudEvents 1.0 in the Kafka protocol binding → an event, or why it cannot be one. Never throws. */
export function decode(record: LogRecord, options: CodecOptions): Decoded {
  const headers = knownHeaders(record.headers);
  const { value } = record;
  const raw = value ?? EMPTY;
  const digest = headers.binary ? binaryModeSha256(headers.all, raw) : sha256(raw);
  let tenant = "";

  try {
    tenant = tenantOf(headers, options);
    if (raw.length > options.maxSize) {
      throw new RejectedError(
        "TooLarge",
        "TooLarge",
        `${raw.length} bytes, more than events.maxSize ${options.maxSize}`,
      );
    }
    const { profile } = options;
    const content = headers.binary
      ? binaryContent(headers, raw, profile)
      : structuredContent(raw, value === null, profile);
    return { kind: "Event", event: toEvent(raw, content, headers, tenant, digest, options) };
  } catch (error) {
    return { kind: "Rejected", rejection: rejectionOf(error), tenant, sha256: digest };
  }
}

/**
 * Whatever else goes wrong with one record is a fault of this program, and still costs that record alone: thrown, it would
 * end the sink, and its successor would meet the same record. The error's message may quote the payload, so its name only.
 */
function rejectionOf(error: unknown): Rejection {
  if (error instanceof RejectedError) return error.rejection;
  const name = error instanceof Error ? error.name : typeof error;
  return { class: "Unstorable", reason: "DecoderFailed", detail: `the decoder failed with ${name}: please report it` };
}

/** The record's headers by what they mean to us. A `ce_` header makes it binary mode, unless content-type says otherwise. */
interface KnownHeaders {
  readonly all: LogRecord["headers"];
  /** As the ledger has them. */
  readonly encoded: Buffer;
  readonly binary: boolean;
  readonly contentType: string | undefined;
  readonly traceparent: string | undefined;
  readonly tenant: readonly (Buffer | null)[];
  readonly attributes: readonly (readonly [name: string, value: Buffer | null])[];
}

let last: KnownHeaders | undefined;

/** A reader gives the same object for the same headers: those of many records in a row are alike. */
function knownHeaders(headers: LogRecord["headers"]): KnownHeaders {
  if (last?.all !== headers) last = readHeaders(headers);
  return last;
}

function readHeaders(headers: LogRecord["headers"]): KnownHeaders {
  let contentType: string | undefined;
  let traceparent: string | undefined;
  let structured = false;
  const tenant: (Buffer | null)[] = [];
  const attributes: [string, Buffer | null][] = [];

  for (const [key, value] of headers) {
    const name = key.toString("latin1");
    if (name.startsWith("ce_")) attributes.push([name.slice(3), value]);
    else if (name === "content-type") {
      const text = value === null ? undefined : trimSpaces(value.toString("latin1"));
      contentType ??= text;
      structured ||= text?.toLowerCase().startsWith(STRUCTURED) ?? false;
    } else if (name === "traceparent") traceparent ??= value?.toString("latin1");
    else if (name === "audit-tenant") tenant.push(value);
  }
  const binary = !structured && attributes.length > 0;
  return { all: headers, encoded: encodeHeaders(headers), binary, contentType, traceparent, tenant, attributes };
}

function tenantOf({ tenant }: KnownHeaders, options: CodecOptions): string {
  if (options.tenant !== undefined) return options.tenant;
  const [value] = tenant;
  if (value === undefined || value === null || value.length === 0) {
    throw new RejectedError("Invalid", "MissingTenant", "header audit-tenant is required");
  }
  const text = utf8("header audit-tenant", value);
  if (tenant.length > 1 || value.length > 255 || !isAttributeText(text)) {
    throw new RejectedError("Invalid", "InvalidValue", "header audit-tenant must be one text of at most 255 bytes");
  }
  return text;
}

type Profile = CodecOptions["profile"];

/** Attributes by name, and data both parsed and as the bytes it was sent in. */
interface Content {
  readonly attributes: Record<string, unknown>;
  readonly data: unknown;
  readonly dataJson: JsonValue | undefined;
}

const NO_DATA = { data: undefined, dataJson: undefined } as const;

const target = { type: "Text", id: "Text" } as const;
/** What of an event's `data` becomes a column (`auditColumns`). */
const dataShape = {
  actor: { type: "Text", id: "Text" },
  action: "Text",
  outcome: "Text",
  reason: "Text",
  target,
  resource: target,
} as const;
const dataFields = compileShape(dataShape);
/** `data_base64` has no place here: as anything but null it is left to the other way. */
const eventFields = compileShape({
  specversion: "Text",
  id: "Text",
  source: "Text",
  type: "Text",
  subject: "Text",
  time: "Text",
  traceparent: "Text",
  data: dataShape,
  data_base64: {},
});

/** Events as nearly all are; undefined where the others' way has to be gone. */
function usualContent(raw: Buffer): Content | undefined {
  const ascii = isAscii(raw);
  if (!ascii && !isUtf8(raw)) return undefined;
  const found = readFields(raw, ascii, eventFields, "data");
  if (found === undefined || (found.fields.data_base64 ?? null) !== null) return undefined;
  const { fields, member } = found;
  if (member === undefined || fields.data === null)
    return { attributes: fields, data: fields.data, dataJson: undefined };
  const dataJson = { bytes: raw.subarray(member.start, member.end), isPlain: member.isPlain };
  return { attributes: fields, data: fields.data, dataJson };
}

function structuredContent(raw: Buffer, isNull: boolean, profile: Profile): Content {
  const usual = usualContent(raw);
  if (usual !== undefined) return usual;
  if (isNull) throw new RejectedError("Malformed", "InvalidJson", "the record has no value");
  const attributes = object(parseJson("the value", raw));
  if (attributes === undefined) throw new RejectedError("Malformed", "InvalidJson", "the value is not a JSON object");

  const { data, data_base64: base64 } = attributes;
  if (base64 !== undefined && base64 !== null) return base64Content(attributes, base64, profile);
  const dataJson = data === undefined || data === null ? undefined : topLevelMember(raw, "data");
  return { attributes, data, dataJson };
}

function base64Content(attributes: Record<string, unknown>, base64: unknown, profile: Profile): Content {
  if (attributes.data !== undefined && attributes.data !== null) {
    throw new RejectedError("Invalid", "InvalidValue", "data and data_base64 exclude each other");
  }
  if (typeof base64 !== "string" || base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) {
    throw new RejectedError("Invalid", "InvalidValue", "data_base64 must be base64");
  }
  const { datacontenttype } = attributes;
  if (typeof datacontenttype === "string" && !isJsonType(datacontenttype)) {
    return { attributes, ...NO_DATA };
  }
  return { attributes, ...payload("data_base64", Buffer.from(base64, "base64"), profile) };
}

/**
 * Bytes that are JSON, unless their content type says otherwise. To profile CloudEvent they may be anything, whatever
 * their content type says: they are in `raw`.
 */
function payload(what: string, bytes: Buffer, profile: Profile): Pick<Content, "data" | "dataJson"> {
  if (bytes.length === 0) return NO_DATA;
  const usual = usualData(bytes);
  if (usual !== undefined) return usual;
  try {
    return { data: parseJson(what, bytes), dataJson: wholeValue(bytes) };
  } catch (error) {
    if (profile === "CloudEvent" && error instanceof RejectedError) return NO_DATA;
    throw error;
  }
}

function usualData(bytes: Buffer): Pick<Content, "data" | "dataJson"> | undefined {
  const ascii = isAscii(bytes);
  if (!ascii && !isUtf8(bytes)) return undefined;
  const found = readFields(bytes, ascii, dataFields, undefined);
  return found && { data: found.fields, dataJson: { bytes, isPlain: found.isPlain } };
}

function binaryContent({ attributes, contentType }: KnownHeaders, raw: Buffer, profile: Profile): Content {
  const named: Record<string, unknown> = { __proto__: null };
  for (const [name, value] of attributes) {
    if (name in named) throw new RejectedError("Invalid", "InvalidValue", `header ce_${printable(name)} is repeated`);
    named[name] = value === null ? undefined : utf8(`header ce_${printable(name)}`, value);
  }
  named.datacontenttype = contentType;
  if (contentType !== undefined && !isJsonType(contentType)) return { attributes: named, ...NO_DATA };
  return { attributes: named, ...payload("the value", raw, profile) };
}

const jsonType = /^[^/]+\/(?:[^;]+\+)?json[ \t]*(?:;|$)/i;
const isJsonType = (contentType: string) => jsonType.test(trimSpaces(contentType));

function toEvent(
  raw: Buffer,
  { attributes, data, dataJson }: Content,
  headers: KnownHeaders,
  tenant: string,
  digest: Buffer,
  { profile }: CodecOptions,
): AuditEvent {
  checkSpecVersion(attributes.specversion);
  const id = requiredAttribute("id", attributes.id);
  const source = requiredAttribute("source", attributes.source);
  const type = requiredAttribute("type", attributes.type);
  const subject = attribute("subject", attributes.subject) ?? null;
  const eventTime = timeOf(attributes.time, profile);
  fitsIndex("source and id", source, id);
  fitsIndex("type", type);

  return {
    tenant,
    source,
    id,
    type,
    subject,
    eventTime,
    ...auditColumns(data, profile),
    traceId: traceIdOf(attributes.traceparent ?? headers.traceparent),
    details: detailsOf(dataJson),
    raw,
    headers: headers.encoded,
    sha256: digest,
    key: eventKey(tenant, source, id),
  };
}

function checkSpecVersion(value: unknown): void {
  if (value === undefined || value === null)
    throw new RejectedError("Invalid", "MissingAttribute", "specversion is required");
  if (value !== "1.0") throw new RejectedError("Malformed", "UnsupportedSpecVersion", "specversion must be 1.0");
}

function timeOf(value: unknown, profile: CodecOptions["profile"]): bigint | null {
  if (value === undefined || value === null) {
    if (profile === "CloudEvent") return null;
    throw new RejectedError("Invalid", "MissingAttribute", "time is required");
  }
  const micros = typeof value === "string" ? parseTimestamp(value) : undefined;
  if (micros === undefined) throw new RejectedError("Invalid", "InvalidTime", "time must be RFC 3339 with a zone");
  return micros;
}

/** W3C trace context: a traceparent that does not parse is ignored, as its receivers must. */
const traceparent = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)/;
const NO_TRACE = "0".repeat(32);

function traceIdOf(value: unknown): string | null {
  // By test, and not by a group: what a match is made of costs more than the rest of this.
  const id = typeof value === "string" && traceparent.test(value) ? value.slice(3, 35) : NO_TRACE;
  return id === NO_TRACE ? null : id;
}

function detailsOf(data: JsonValue | undefined): Buffer | null {
  if (data === undefined) return null;
  return data.isPlain || jsonbAccepts(data.bytes.toString("utf8")) ? data.bytes : null;
}

function parseJson(what: string, bytes: Buffer): unknown {
  const text = utf8(what, bytes);
  try {
    return JSON.parse(text);
  } catch {
    throw new RejectedError("Malformed", "InvalidJson", `${what} is not valid JSON`);
  }
}

/** Strict: bytes that are not UTF-8 are refused, never replaced. */
function utf8(what: string, bytes: Buffer): string {
  if (isAscii(bytes)) return bytes.toString("latin1");
  if (!isUtf8(bytes)) throw new RejectedError("Malformed", "InvalidUtf8", `${what} is not valid UTF-8`);
  return bytes.toString("utf8");
}

const printable = (name: string) => name.slice(0, 64).replace(/[^\x20-\x7e]/g, "?");
