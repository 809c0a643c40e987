import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { Header } from "../../support/reference-chain.ts";
import {
  attributeHeaders,
  binary,
  event,
  type Fate,
  type HostileCase,
  type HostileRecord,
  MAX_SIZE,
  structured,
  structuredEvent,
  TENANT,
} from "../record.ts";

const NOT_TEXT: Readonly<Record<string, unknown>> = {
  "a number": 7,
  "a huge number": 1e308,
  true: true,
  "an object": { id: "x" },
  "an array": ["x"],
  "an array of nothing": [],
};

/** Each attribute and each field of data: absent, null, and of every wrong type. */
function* typed(): Generator<HostileCase> {
  for (const name of ["specversion", "id", "source", "type", "time", "subject", "data"]) {
    const isOptional = name === "subject";
    const missing: Fate = isOptional ? "Stored" : name === "data" ? "Invalid/MissingField" : "Invalid/MissingAttribute";
    const loose: Fate = ["subject", "time", "data"].includes(name) ? "Stored" : missing;
    for (const [kind, value] of [
      ["absent", undefined],
      ["null", null],
    ] as const) {
      const make = (id: string) => structuredEvent({ ...event(id), [name]: value });
      yield { name: `${name} ${kind}`, fate: missing, loose, make };
    }
    for (const [kind, value] of Object.entries(NOT_TEXT)) {
      const wrong = wrongType(name, value);
      const make = (id: string) => structuredEvent({ ...event(id), [name]: value });
      yield { name: `${name} is ${kind}`, fate: wrong, loose: name === "data" ? "Stored" : wrong, make };
    }
  }
  for (const [name, isRequired] of FIELDS) {
    const change = (id: string, value: unknown) => ({ ...event(id), data: withMember(event(id).data, name, value) });
    for (const [kind, value] of Object.entries({ absent: undefined, null: null, ...NOT_TEXT })) {
      const isAbsent = value === undefined || value === null;
      const missing: Fate = isRequired ? "Invalid/MissingField" : "Stored";
      const fate: Fate = isAbsent ? missing : "Invalid/InvalidValue";
      const make = (id: string) => structuredEvent(change(id, value));
      yield { name: `data.${name} is ${kind}`, fate, loose: "Stored", make };
    }
  }
}

const FIELDS: readonly [name: string, isRequired: boolean][] = [
  ["actor.id", true],
  ["actor.type", false],
  ["action", true],
  ["outcome", true],
  ["reason", false],
  ["target.type", false],
  ["target.id", false],
  ["resource.type", false],
  ["resource.id", false],
];

function wrongType(name: string, value: unknown): Fate {
  if (name === "specversion") return "Malformed/UnsupportedSpecVersion";
  if (name === "time") return "Invalid/InvalidTime";
  if (name === "data" && typeof value === "object" && !Array.isArray(value)) return "Invalid/MissingField";
  return "Invalid/InvalidValue";
}

function withMember(data: Record<string, unknown>, path: string, value: unknown): Record<string, unknown> {
  const [first = "", second] = path.split(".");
  if (second === undefined) return { ...data, [first]: value };
  return { ...data, [first]: { ...(data[first] as Record<string, unknown> | undefined), [second]: value } };
}

const changed = (name: string, fate: Fate, change: (id: string) => object, loose = fate): HostileCase => ({
  name,
  fate,
  loose,
  make: (id) => structuredEvent({ ...event(id), ...change(id) }),
});
const base64 = (text: string | Buffer) => Buffer.from(text).toString("base64");
const json = (id: string) => JSON.stringify(event(id).data);
const withBase64 = (name: string, fate: Fate, text: (id: string) => unknown, loose = fate, over: object = {}) =>
  changed(name, fate, (id) => ({ data: undefined, data_base64: text(id), ...over }), loose);

const attributes: readonly HostileCase[] = [
  ...["0.1", "0.3", "1", "1.0 ", " 1.0", "1.00", "1.1", "2.0", "", "1,0", "\u0661.\u0660"].map((version) =>
    changed(`specversion ${JSON.stringify(version)}`, "Malformed/UnsupportedSpecVersion", () => ({
      specversion: version,
    })),
  ),
  ...["Success", "SUCCESS", "success ", "maybe", "true"].map((outcome) =>
    changed(`outcome ${outcome}`, "Invalid/InvalidValue", (id) => ({ data: { ...event(id).data, outcome } }), "Stored"),
  ),
  ...["failure", "denied"].map((outcome) =>
    changed(`outcome ${outcome}`, "Stored", (id) => ({ data: { ...event(id).data, outcome } })),
  ),
  ...["actor", "target", "resource"].flatMap((name) =>
    ["alice", 7, [], false].map((value) =>
      changed(
        `data.${name} is ${JSON.stringify(value)}`,
        "Invalid/InvalidValue",
        (id) => ({ data: { ...event(id).data, [name]: value } }),
        "Stored",
      ),
    ),
  ),
  changed("target null, resource there", "Stored", (id) => ({
    data: { ...event(id).data, target: null, resource: { id: "r" } },
  })),
  changed("target and resource", "Stored", (id) => ({ data: { ...event(id).data, target: { id: "t" }, resource: 7 } })),
  changed("extensions of every type", "Stored", () => ({ ext1: 1, ext2: true, ext3: null, "Bad-Name": "x", "": "" })),
  changed("an event's own tenant", "Stored", () => ({ tenant: "other", "audit-tenant": "other" })),
  changed("traceparents that do not parse", "Stored", () => ({ traceparent: "00-zz" })),
  changed("a traceparent that is a number", "Stored", () => ({ traceparent: 7 })),
  changed("data and data_base64", "Invalid/InvalidValue", () => ({ data_base64: "e30=" })),
  withBase64("data_base64 of JSON", "Stored", (id) => base64(json(id))),
  withBase64("data_base64 of a number", "Invalid/InvalidValue", () => 7),
  withBase64(
    "data_base64 without padding",
    "Invalid/InvalidValue",
    (id) => `${base64(`${json(id)} `).replaceAll("=", "")}A`,
  ),
  withBase64("data_base64 for URLs", "Invalid/InvalidValue", () => "-_8="),
  withBase64("data_base64 in lines", "Invalid/InvalidValue", () => "e30=\n"),
  withBase64("data_base64 of half an object", "Malformed/InvalidJson", () => base64('{"a":'), "Stored"),
  withBase64(
    "data_base64 that is no UTF-8",
    "Malformed/InvalidUtf8",
    () => base64(Buffer.from([0x22, 0xff, 0x22])),
    "Stored",
  ),
  withBase64("data_base64 of nothing", "Invalid/MissingField", () => "", "Stored"),
  withBase64("data_base64 of an image", "Invalid/MissingField", () => base64(Buffer.from([0x89, 0x50])), "Stored", {
    datacontenttype: "image/png",
  }),
];

const TIMES: readonly [time: string, isTaken: boolean][] = [
  ["0001-01-01T00:00:00Z", true],
  ["0000-01-01T00:00:00Z", true],
  ["0000-01-01T00:00:00+23:59", true],
  ["9999-12-31T23:59:59.999999Z", true],
  ["9999-12-31T23:59:59-23:59", true],
  ["1969-12-31T23:59:59.999999Z", true],
  ["1900-02-28T00:00:00Z", true],
  ["2038-01-19T03:14:08Z", true],
  ["2000-02-29T12:00:00Z", true],
  ["2016-12-31T23:59:60Z", true],
  ["2026-11-05T12:00:60Z", true],
  ["2026-11-05t10:00:00z", true],
  ["2026-11-05T10:00:00+00:00", true],
  ["2026-11-05T10:00:00-00:00", true],
  ["2026-11-05T10:00:00+14:00", true],
  ["2026-11-05T10:00:00.1Z", true],
  ["2026-11-05T10:00:00.1234567890123456789Z", true],
  [`2026-11-05T10:00:00.${"9".repeat(5_000)}Z`, true],
  ["10000-01-01T00:00:00Z", false],
  ["300000-01-01T00:00:00Z", false],
  ["+02026-11-05T10:00:00Z", false],
  ["-0001-01-01T00:00:00Z", false],
  ["26-11-05T10:00:00Z", false],
  ["infinity", false],
  ["-infinity", false],
  ["epoch", false],
  ["now", false],
  ["today", false],
  ["2026-11-05T10:00:00", false],
  ["2026-11-05 10:00:00Z", false],
  ["2026-11-05", false],
  ["10:00:00Z", false],
  ["2026-11-05T10:00Z", false],
  ["2026-11-05T10:00:00 Z", false],
  ["2026-11-05T10:00:00+0000", false],
  ["2026-11-05T10:00:00+00", false],
  ["2026-11-05T10:00:00+24:00", false],
  ["2026-11-05T10:00:00+00:60", false],
  ["2026-11-05T10:00:00\u221201:00", false],
  ["2026-11-05T10:00:00[UTC]", false],
  ["2026-11-05T10:00:00Z[UTC]", false],
  ["2026-11-05T10:00:00 UTC", false],
  ["2026-11-05T10:00:00.Z", false],
  ["2026-11-05T10:00:00,5Z", false],
  ["2026-11-05T24:00:00Z", false],
  ["2026-11-05T10:60:00Z", false],
  ["2026-11-05T10:00:61Z", false],
  ["2026-00-05T10:00:00Z", false],
  ["2026-13-05T10:00:00Z", false],
  ["2026-11-00T10:00:00Z", false],
  ["2026-11-31T10:00:00Z", false],
  ["2026-02-29T10:00:00Z", false],
  ["1900-02-29T10:00:00Z", false],
  ["2026-W45-4T10:00:00Z", false],
  ["2026-309T10:00:00Z", false],
  ["20261105T100000Z", false],
  ["Thu, 05 Nov 2026 10:00:00 GMT", false],
  ["1793872800", false],
  ["\u0662\u0660\u0662\u0666-11-05T10:00:00Z", false],
  [" 2026-11-05T10:00:00Z", false],
  ["2026-11-05T10:00:00Z\n", false],
  ["", false],
];

const times: readonly HostileCase[] = TIMES.flatMap(([time, isTaken]) => {
  const [name, fate] = [JSON.stringify(time).slice(0, 50), isTaken ? "Stored" : "Invalid/InvalidTime"] as const;
  return [
    { name: `time ${name}`, fate, make: (id: string) => structuredEvent({ ...event(id), time }) },
    { name: `header ce_time ${name}`, fate, make: (id: string) => binary(id, undefined, { time }) },
  ];
});

const record = (name: string, fate: Fate, make: (id: string) => HostileRecord, loose = fate): HostileCase => ({
  name,
  fate,
  loose,
  make,
});
const plus = ({ value, headers }: HostileRecord, ...more: Header[]) => ({ value, headers: [...headers, ...more] });
const less = ({ value, headers }: HostileRecord, ...names: string[]) => ({
  value,
  headers: headers.filter(([name]) => !names.includes(name)),
});
const withType = (type: string | null) => (id: string) =>
  structured(JSON.stringify(event(id)), [["content-type", type === null ? null : Buffer.from(type)]]);
const tenants =
  (...values: (Buffer | string | null)[]) =>
  (id: string) =>
    plus(
      less(structuredEvent(event(id)), "audit-tenant"),
      ...values.map((value): Header => ["audit-tenant", value === null ? null : Buffer.from(value)]),
    );

const headers: readonly HostileCase[] = [
  ...["specversion", "id", "source", "type"].flatMap((name) => [
    record(`no header ce_${name}`, "Invalid/MissingAttribute", (id) => binary(id, undefined, { [name]: undefined })),
    record(`header ce_${name} null`, "Invalid/MissingAttribute", (id) => binary(id, undefined, { [name]: null })),
    record(`header ce_${name} twice`, "Invalid/InvalidValue", (id) =>
      plus(binary(id), ...attributeHeaders({ [name]: "1.0" })),
    ),
    record(`header CE_${name} in capitals`, "Invalid/MissingAttribute", (id) =>
      plus(binary(id, undefined, { [name]: undefined }), [`CE_${name.toUpperCase()}`, Buffer.from("1.0")]),
    ),
  ]),
  record("no header ce_time", "Invalid/MissingAttribute", (id) => binary(id, undefined, { time: undefined }), "Stored"),
  record("header ce_id percent-encoded, as HTTP would", "Stored", (id) =>
    binary(id, undefined, { id: `${id}%20%C3%28` }),
  ),
  record("an extension header twice", "Invalid/InvalidValue", (id) => plus(binary(id), ["ce_x", null], ["ce_x", null])),
  record("header ce_ of no name", "Stored", (id) => plus(binary(id), ["ce_", Buffer.from("x")])),
  record("header ce___proto__", "Stored", (id) => plus(binary(id), ["ce___proto__", Buffer.from("x")])),
  record("header ce-id of HTTP", "Stored", (id) => plus(binary(id), ["ce-id", Buffer.from("x")])),
  record("all headers in capitals", "Malformed/InvalidJson", (id) => {
    const { headers: all } = binary(id);
    const shouted = all.map(([name, value]): Header => [name === "audit-tenant" ? name : name.toUpperCase(), value]);
    return { value: null, headers: shouted };
  }),
  record("no content type in binary mode", "Stored", (id) => less(binary(id), "content-type")),
  record("content type null in binary mode", "Stored", (id) =>
    plus(less(binary(id), "content-type"), ["content-type", null]),
  ),
  ...["text/json", "application/vnd.x+json; charset=utf-8", "APPLICATION/JSON", " application/json\t;q=1"].map((type) =>
    record(`content type ${type} in binary mode`, "Stored", (id) => binary(id, undefined, {}, type)),
  ),
  ...["text/plain", "application/jsonp", "application/xml", "json", "/json", "", "application/octet-stream"].map(
    (type) =>
      record(
        `content type ${type} in binary mode`,
        "Invalid/MissingField",
        (id) => binary(id, undefined, {}, type),
        "Stored",
      ),
  ),
  record("binary mode without a value", "Invalid/MissingField", (id) => binary(id, null), "Stored"),
  record("binary mode of an empty value", "Invalid/MissingField", (id) => binary(id, ""), "Stored"),
  record("binary mode of a JSON array", "Invalid/InvalidValue", (id) => binary(id, "[1]"), "Stored"),
  record("both modes at once: content type decides", "Stored", (id) =>
    plus(structuredEvent(event(id)), ...attributeHeaders({ id: "other", specversion: "0.3" })),
  ),
  record("two content types, the second one structured", "Stored", (id) =>
    structured(JSON.stringify(event(id)), [
      ["content-type", Buffer.from("text/plain")],
      ["content-type", Buffer.from("application/cloudevents+json")],
      ["ce_id", Buffer.from("other")],
    ]),
  ),
  ...[
    null,
    "",
    "text/plain",
    "application/cloudevents",
    "APPLICATION/CLOUDEVENTS+JSON",
    "\t application/cloudevents+avro",
  ].map((type) => record(`structured with content type ${String(type)}`, "Stored", withType(type))),
  record("a batch", "Malformed/InvalidJson", (id) =>
    structured(JSON.stringify([event(id), event(`${id}-2`)]), [
      ["content-type", Buffer.from("application/cloudevents-batch+json")],
    ]),
  ),
  record("an empty batch", "Malformed/InvalidJson", () => structured("[]")),
  record("headers by the hundred", "Stored", (id) =>
    plus(
      structuredEvent(event(id)),
      ...Array.from({ length: 300 }, (_, n): Header => [`x-${n % 7}`, Buffer.from(`${n}`)]),
    ),
  ),
  record("a header of 100 000 bytes", "Stored", (id) =>
    plus(structuredEvent(event(id)), ["x-long", Buffer.alloc(100_000, 1)]),
  ),
  record("headers without a name or a value", "Stored", (id) =>
    plus(structuredEvent(event(id)), ["", null], ["", Buffer.alloc(0)]),
  ),
  record("headers of a dead letter", "Stored", (id) =>
    plus(
      structuredEvent(event(id)),
      ["audit-error-class", Buffer.from("Malformed")],
      ["audit-source-offset", Buffer.from("7")],
    ),
  ),
  record("poison with headers of a dead letter", "Malformed/InvalidJson", () =>
    plus(structured("{"), ["audit-error-class", Buffer.from("TooLarge")], ["audit-source-offset", Buffer.from("7")]),
  ),
  record("no tenant", "Invalid/MissingTenant", tenants(), "Stored"),
  record("tenant null", "Invalid/MissingTenant", tenants(null), "Stored"),
  record("tenant empty", "Invalid/MissingTenant", tenants(""), "Stored"),
  record("tenant twice, the same", "Invalid/InvalidValue", tenants(TENANT, TENANT), "Stored"),
  record("tenant twice, another", "Invalid/InvalidValue", tenants(TENANT, "other"), "Stored"),
  record("tenant of 255 bytes", "Stored", tenants("t".repeat(255))),
  record("tenant of 256 bytes", "Invalid/InvalidValue", tenants("t".repeat(256)), "Stored"),
  record("tenant of 128 characters and 256 bytes", "Invalid/InvalidValue", tenants("\u00e9".repeat(128)), "Stored"),
  record("tenant with a newline", "Invalid/InvalidValue", tenants("a\nb"), "Stored"),
  record("tenant with NUL", "Invalid/InvalidValue", tenants("a\0"), "Stored"),
  record("tenant that is no UTF-8", "Malformed/InvalidUtf8", tenants(Buffer.from([0xff])), "Stored"),
  record("tenant with quotes and SQL", "Stored", tenants("o'); DROP TABLE x; --")),
  record("tenant of another script", "Stored", tenants("\u79df\u6237\u{1f600}")),
];

/** A structured event whose value has exactly that many bytes. */
function ofSize(id: string, bytes: number): HostileRecord {
  const base = JSON.stringify({ ...event(id), data: { ...event(id).data, pad: "" } }).length;
  return structuredEvent({ ...event(id), data: { ...event(id).data, pad: "x".repeat(bytes - base) } });
}

const sizes: readonly HostileCase[] = [
  ...(
    [
      [-1, "Stored"],
      [0, "Stored"],
      [1, "TooLarge/TooLarge"],
      [400_000, "TooLarge/TooLarge"],
    ] as const
  ).flatMap(([over, fate]) => [
    record(`the limit and ${over} bytes`, fate, (id) => ofSize(id, MAX_SIZE + over)),
    record(`the limit and ${over} bytes in binary mode`, fate, (id) => {
      const { value, headers: all } = binary(id);
      return {
        headers: all,
        value: Buffer.concat([value ?? Buffer.alloc(0), Buffer.alloc(MAX_SIZE + over - (value?.length ?? 0), " ")]),
      };
    }),
    record(`the limit and ${over} bytes of characters of two`, fate, (id) => {
      const { value, headers: all } = ofSize(id, MAX_SIZE + over - 2);
      return { headers: all, value: Buffer.from((value ?? "").toString().replace(/x"/, 'x\u00e9"')) };
    }),
  ]),
  record("150 000 names, too large", "TooLarge/TooLarge", () => structured(`{${'"":0,'.repeat(150_000)}"a":1}`)),
  record("no value", "Malformed/InvalidJson", () => structured(null)),
  record("gzip of an event", "Malformed/InvalidUtf8", (id) => structured(gzipSync(JSON.stringify(event(id))))),
  record("gzip of 100 MB of nothing", "Malformed/InvalidUtf8", () => structured(gzipSync(Buffer.alloc(100_000_000)))),
  record("zstd of an event", "Malformed/InvalidUtf8", (id) => structured(zstdCompressSync(JSON.stringify(event(id))))),
  record("deflate of an event", "Malformed/InvalidUtf8", (id) => structured(deflateSync(JSON.stringify(event(id))))),
  record("gzip said in a header", "Malformed/InvalidUtf8", (id) =>
    plus(structured(gzipSync(JSON.stringify(event(id)))), ["content-encoding", Buffer.from("gzip")]),
  ),
];

export const attributeCases: readonly HostileCase[] = [...typed(), ...attributes, ...times, ...headers, ...sizes];
