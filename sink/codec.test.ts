import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { auditEvent, logRecord, type RecordInput } from "../test/support/cloud-events.ts";
import { encodeHeaders, eventKey, recordHash } from "../test/support/reference-chain.ts";
import { type CodecOptions, decode } from "./codec.ts";
import type { AuditEvent } from "./event.ts";

const options: CodecOptions = { profile: "AuditEvent", tenant: "acme", maxSize: 262_144 };
const decoded = (value: unknown, input: RecordInput = {}, over: Partial<CodecOptions> = {}) =>
  decode(logRecord(value, input), { ...options, ...over });

function eventOf(value: unknown, input: RecordInput = {}, over: Partial<CodecOptions> = {}): AuditEvent {
  const result = decoded(value, input, over);
  if (result.kind !== "Event") throw new Error(`${result.rejection.reason}: ${result.rejection.detail}`);
  return result.event;
}

function rejectionOf(value: unknown, input: RecordInput = {}, over: Partial<CodecOptions> = {}): string {
  const result = decoded(value, input, over);
  return result.kind === "Event" ? "none" : `${result.rejection.class}/${result.rejection.reason}`;
}

const data = (over: Record<string, unknown> = {}) => ({
  data: { actor: { id: "alice" }, action: "approve", outcome: "success", ...over },
});
const binary: RecordInput["headers"] = [
  ["ce_specversion", "1.0"],
  ["ce_id", "e-1"],
  ["ce_source", "/s"],
  ["ce_type", "t"],
  ["ce_time", "2026-11-05T12:00:00+02:00"],
  ["content-type", "application/json"],
];

describe("structured mode", () => {
  test("fills the columns from attributes and data", () => {
    const traceparent = `00-${"ab".repeat(16)}-${"cd".repeat(8)}-01`;
    const event = eventOf(
      auditEvent("e-1", { subject: "s", traceparent, ...data({ reason: "r", resource: { id: "x" } }) }),
    );
    expect(event).toMatchObject({
      tenant: "acme",
      source: "/services/payments",
      id: "e-1",
      type: "com.example.payment.approved",
      subject: "s",
      eventTime: 1_793_872_800_123_456n,
      actorType: "user",
      actorId: "alice",
      action: "approve",
      outcome: "success",
      reason: "r",
      targetType: null,
      targetId: "x",
      traceId: "ab".repeat(16),
    });
  });

  test("cuts details out of the bytes: big integers, 1.10 and repeated keys stay as they came", () => {
    const dataText = '{ "actor":{"id":"a"},"action":"x","outcome":"denied", "n":9007199254740993,"d":1.10,"n":1 }';
    const json = `{"specversion":"1.0","id":"e","source":"/s","type":"t","time":"2026-01-01T00:00:00Z","d\\u0061ta":1,"data" : ${dataText} ,"x":[{"data":2}]}`;
    const event = eventOf(json);
    expect(event.details?.toString()).toBe(dataText);
    expect(event.raw.toString()).toBe(json);
  });

  test.for([
    ["no value", null, "Malformed/InvalidJson"],
    ["an empty value", "", "Malformed/InvalidJson"],
    ["bytes that are not UTF-8", Buffer.from([0x7b, 0xff, 0x7d]), "Malformed/InvalidUtf8"],
    ["a byte order mark", `\ufeff${JSON.stringify(auditEvent("e"))}`, "Malformed/InvalidJson"],
    ["an array", [auditEvent("e")], "Malformed/InvalidJson"],
    ["an older specversion", auditEvent("e", { specversion: "0.3" }), "Malformed/UnsupportedSpecVersion"],
    ["no specversion", auditEvent("e", { specversion: undefined }), "Invalid/MissingAttribute"],
    ["no id", auditEvent("e", { id: undefined }), "Invalid/MissingAttribute"],
    ["an empty id", auditEvent(""), "Invalid/InvalidValue"],
    ["an id that is a number", auditEvent("e", { id: 7 }), "Invalid/InvalidValue"],
    ["a control character in an attribute", auditEvent("a\u0085b"), "Invalid/InvalidValue"],
    ["a noncharacter in an attribute", auditEvent("a\u{1fffe}"), "Invalid/InvalidValue"],
    ["a lone surrogate in an attribute", JSON.stringify(auditEvent("\ud800")), "Invalid/InvalidValue"],
    ["no time", auditEvent("e", { time: undefined }), "Invalid/MissingAttribute"],
    ["time without a zone", auditEvent("e", { time: "2026-11-05T10:00:00" }), "Invalid/InvalidTime"],
    ["time on a day that is not", auditEvent("e", { time: "2026-02-29T10:00:00Z" }), "Invalid/InvalidTime"],
    ["time infinity", auditEvent("e", { time: "infinity" }), "Invalid/InvalidTime"],
    ["year 300000", auditEvent("e", { time: "300000-01-01T00:00:00Z" }), "Invalid/InvalidTime"],
    ["no data", auditEvent("e", { data: undefined }), "Invalid/MissingField"],
    ["no actor", auditEvent("e", data({ actor: undefined })), "Invalid/MissingField"],
    ["no action", auditEvent("e", data({ action: null })), "Invalid/MissingField"],
    ["another outcome", auditEvent("e", data({ outcome: "maybe" })), "Invalid/InvalidValue"],
    ["a target that is text", auditEvent("e", data({ target: "x" })), "Invalid/InvalidValue"],
    ["NUL in a column", auditEvent("e", data({ actor: { id: "a\0b" } })), "Unstorable/InvalidValue"],
    [
      "a lone surrogate in a column",
      JSON.stringify(auditEvent("e", data({ reason: "\udfff" }))),
      "Unstorable/InvalidValue",
    ],
    [
      "an actor too long for its index",
      auditEvent("e", data({ actor: { id: "ä".repeat(1400) } })),
      "Unstorable/TooLarge",
    ],
    ["data beside data_base64", auditEvent("e", { data_base64: "e30=" }), "Invalid/InvalidValue"],
  ] as const)("refuses %s", ([, value, reason]) => {
    expect(rejectionOf(value)).toBe(reason);
  });

  test("a body at the size limit passes, one byte more does not", () => {
    const body = JSON.stringify(auditEvent("e"));
    expect(rejectionOf(body, {}, { maxSize: body.length })).toBe("none");
    expect(rejectionOf(body, {}, { maxSize: body.length - 1 })).toBe("TooLarge/TooLarge");
  });

  test.for([
    ["NUL", '"a\\u0000"'],
    ["a lone surrogate", '"\\ud800x"'],
    ["a number beyond numeric", "1e200000"],
    ["nesting beyond the server's stack", "[".repeat(50_000) + "]".repeat(50_000)],
  ])("details is null where jsonb refuses %s, and the event is stored", ([, literal]) => {
    const json = JSON.stringify(auditEvent("e", data({ extra: "@" }))).replace('"@"', literal ?? "");
    const event = eventOf(json);
    expect(event.details).toBeNull();
    expect(event.raw.toString()).toBe(json);
  });

  test.for([
    ["escapes", (n: number) => `"\\u0041${"\\n".repeat(n)}"`],
    ["text", (n: number) => `"\\u0041${"x".repeat(2 * n)}"`],
    ["text beyond ASCII", (n: number) => `"\\u0041${"ü".repeat(n)}"`],
    ["numbers", (n: number) => `["\\u0041"${",1e5".repeat(n / 2)}]`],
  ] as const)("megabytes of %s are stored: no limit but maxSize", ([, text]) => {
    const json = JSON.stringify(auditEvent("e", data({ extra: "@" }))).replace('"@"', text(4_000_000));
    expect(eventOf(json, {}, { maxSize: 64_000_000 }).details).not.toBeNull();
  });

  test.for([
    ["subject", "x"],
    ["subject", "ü"],
    ["data_base64", "A"],
    ["time", "1"],
    ["traceparent", "0"],
    ["specversion", "1"],
  ] as const)("megabytes in %s are the record's fault at the most", ([name, unit]) => {
    const json = JSON.stringify({ ...auditEvent("e"), [name]: unit.repeat(16_000_000) });
    const result = decoded(json, {}, { maxSize: 64_000_000 });
    if (result.kind === "Rejected") expect(result.rejection.reason).not.toBe("DecoderFailed");
  });

  test("a fault of the decoder costs the one record, and its message stays unsaid", () => {
    const broken = {
      ...options,
      get tenant(): string {
        throw new RangeError("payload");
      },
    };
    const result = decode(logRecord(auditEvent("e")), broken);
    if (result.kind === "Event") throw new Error("Expected a rejection");
    expect(result.rejection).toMatchObject({ class: "Unstorable", reason: "DecoderFailed" });
    expect(result.rejection.detail).toContain("RangeError");
    expect(result.rejection.detail).not.toContain("payload");
  });

  test.for([
    ["an escaped backslash before u0000", '"\\\\u0000"'],
    ["a surrogate pair", '"\\ud83d\\ude00"'],
    ["hex text that looks like an exponent", '"d1e99999"'],
  ])("details is kept with %s", ([, literal]) => {
    const json = JSON.stringify(auditEvent("e", data({ extra: "@" }))).replace('"@"', literal ?? "");
    expect(eventOf(json).details).not.toBeNull();
  });
});

describe("binary mode", () => {
  const body = JSON.stringify(data().data);
  const ce = { specversion: "1.0", id: "e", source: "/s", type: "t" };

  test("takes attributes from headers and data from the value", () => {
    const event = eventOf(body, { headers: binary });
    expect(event).toMatchObject({
      id: "e-1",
      source: "/s",
      type: "t",
      eventTime: 1_793_872_800_000_000n,
      actorId: "alice",
    });
    expect(event.details?.toString()).toBe(body);
  });

  test.for([
    ["data_base64 without a content type", { data_base64: "aGVsbG8=" }],
    ["data_base64 that is not JSON as it says", { datacontenttype: "application/json", data_base64: "aGVsbG8=" }],
    ["data null beside data_base64", { datacontenttype: "text/plain", data: null, data_base64: "aGVsbG8=" }],
  ] as const)("any CloudEvent is stored with details null: %s", ([, members]) => {
    const event = eventOf({ ...ce, ...members }, {}, { profile: "CloudEvent" });
    expect(event.details).toBeNull();
  });

  test.for([undefined, "application/json"])("any value is stored with details null (content-type %s)", (type) => {
    const headers: RecordInput["headers"] = [
      ...binary.slice(0, -1),
      ...(type === undefined ? [] : [["content-type", type] as const]),
    ];
    for (const value of ["hello", Buffer.from([0xff, 0xfe])]) {
      expect(eventOf(value, { headers }, { profile: "CloudEvent" }).details).toBeNull();
      expect(rejectionOf(value, { headers })).toMatch(/^Malformed/);
    }
  });

  test.for(["a", "aGVsbG8", "aGVsbG8==", "a===", "aGV sbG8"])("data_base64 %s is none", (data_base64) => {
    const value = { ...ce, datacontenttype: "text/plain", data_base64 };
    expect(rejectionOf(value, {}, { profile: "CloudEvent" })).toBe("Invalid/InvalidValue");
  });

  test("only spaces and tabs are no part of a content-type, and the hash goes by that", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(" ", "\t", "\u00a0", "\n", "\u000b", "\u0085", "x") }),
        fc.constantFrom("application/cloudevents+json", "Application/CloudEvents", "application/json"),
        (around, type) => {
          const contentType = Buffer.from(around + type + around, "latin1");
          const headers = logRecord(body, { headers: binary.slice(0, -1) }).headers;
          const record = {
            ...logRecord(body),
            headers: [...headers, [Buffer.from("content-type"), contentType]] as const,
          };
          const result = decode(record, { ...options, profile: "CloudEvent" });
          const { sha256 } = result.kind === "Event" ? result.event : result;
          const named = record.headers.map(([name, value]) => [name.toString(), value] as const);
          expect(sha256).toEqual(recordHash(named, record.value));
          const isStructured = type !== "application/json" && /^[ \t]*$/.test(around);
          expect(sha256.equals(createHash("sha256").update(body).digest())).toBe(isStructured);
        },
      ),
    );
  });

  test("a retry with another traceparent header is the same event, one with another ce_ header is not", () => {
    const traced = (value: string) => eventOf(body, { headers: [...binary, ["traceparent", value]] }).sha256;
    expect(traced("00-1")).toEqual(traced("00-2"));
    expect(eventOf(body, { headers: [...binary, ["ce_x", "1"]] }).sha256).not.toEqual(traced("00-1"));
  });

  test("refuses a repeated attribute and one that is not UTF-8", () => {
    expect(rejectionOf(body, { headers: [...binary, ["ce_id", "e-2"]] })).toBe("Invalid/InvalidValue");
    expect(rejectionOf(body, { headers: [...binary, ["ce_x", Buffer.from([0xc3])]] })).toBe("Malformed/InvalidUtf8");
  });

  test("content-type application/cloudevents+json is structured, whatever other headers say", () => {
    const headers = [...binary.slice(0, 5), ["content-type", "Application/CloudEvents+json; charset=utf-8"]] as const;
    expect(eventOf(auditEvent("inside"), { headers }).id).toBe("inside");
  });
});

describe("profile CloudEvent", () => {
  const minimal = { specversion: "1.0", id: "e", source: "/s", type: "t" };
  const over = { profile: "CloudEvent" } as const;

  test("takes an event without time and data, the audit columns being null", () => {
    expect(eventOf(minimal, {}, over)).toMatchObject({
      eventTime: null,
      actorId: null,
      actorType: null,
      details: null,
    });
  });

  test("takes data that is not JSON, without details", () => {
    const headers = [...binary.slice(0, 5), ["content-type", "text/plain"]] as const;
    expect(eventOf("plain { text", { headers }, over)).toMatchObject({ details: null, id: "e-1" });
  });

  test("reads columns where data has text for them, and nothing else", () => {
    const event = eventOf({ ...minimal, data: { actor: { id: 7 }, action: "x", resource: { id: "r" } } }, {}, over);
    expect(event).toMatchObject({ actorId: null, action: "x", targetId: "r" });
  });
});

describe("tenant", () => {
  const fromHeader = { tenant: undefined };
  const sent = (...values: (string | Buffer | null)[]) => ({
    headers: values.map((value) => ["audit-tenant", value] as const),
  });

  test("is the record header's, never the event's", () => {
    expect(eventOf(auditEvent("e", { tenant: "evil" }), sent("t-1"), fromHeader).tenant).toBe("t-1");
    expect(eventOf(auditEvent("e"), sent("t-1")).tenant).toBe("acme");
  });

  test.for([
    ["missing", [], "Invalid/MissingTenant"],
    ["empty", [""], "Invalid/MissingTenant"],
    ["null", [null], "Invalid/MissingTenant"],
    ["twice", ["a", "b"], "Invalid/InvalidValue"],
    ["with a control character", ["a\n"], "Invalid/InvalidValue"],
    ["not UTF-8", [Buffer.from([0xff])], "Malformed/InvalidUtf8"],
  ] as const)("is refused when %s", ([, values, reason]) => {
    expect(rejectionOf(auditEvent("e"), sent(...values), fromHeader)).toBe(reason);
  });
});

describe("any bytes", () => {
  const headerName = fc.constantFrom(
    "content-type",
    "ce_id",
    "ce_specversion",
    "ce_zz",
    "traceparent",
    "other",
    "audit-tenant",
  );
  const headers = fc.array(
    fc.tuple(headerName, fc.option(fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b)))),
    { maxLength: 6 },
  );
  const value = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.json().map((text) => Buffer.from(text)),
    fc.jsonValue().map((data) => Buffer.from(JSON.stringify(auditEvent("e", { data })))),
    fc
      .record({ id: fc.string(), subject: fc.string({ unit: "binary" }) })
      .map((o) => Buffer.from(JSON.stringify(auditEvent(o.id, o)))),
  );

  test("never throw, and hash and headers are those of a second implementation", () => {
    fc.assert(
      fc.property(value, headers, fc.constantFrom("AuditEvent", "CloudEvent"), (bytes, pairs, profile) => {
        const result = decoded(bytes, { headers: pairs }, { profile });
        const digest = result.kind === "Event" ? result.event.sha256 : result.sha256;
        expect(digest).toEqual(recordHash(pairs, bytes));
        if (result.kind !== "Event") return;
        const { event } = result;
        expect(event.raw).toEqual(bytes);
        expect(event.headers).toEqual(encodeHeaders(pairs));
        expect(event.key.toString("hex")).toBe(eventKey("acme", event.source, event.id).replaceAll("-", ""));
      }),
      { numRuns: 2_000 },
    );
  });

  test("details of any JSON data is the text that was sent", () => {
    const spaced = fc.tuple(fc.json(), fc.constantFrom("", " ", "\n\t")).map(([json, space]) => [json, space] as const);
    fc.assert(
      fc.property(spaced, fc.json(), ([json, space], other) => {
        const text = `{"a":${other},${space}"data"${space}:${space}${json}${space},"specversion":"1.0","id":"e","source":"s","type":"t","z":${other}}`;
        const { details } = eventOf(text, {}, { profile: "CloudEvent", maxSize: 10_000_000 });
        if (details !== null) expect(details.toString()).toBe(json);
      }),
      { numRuns: 2_000 },
    );
  });
});
