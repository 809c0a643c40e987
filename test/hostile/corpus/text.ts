import {
  binary,
  event,
  type Fate,
  type HostileCase,
  type Json,
  spliced,
  structured,
  structuredEvent,
} from "../record.ts";

/** CloudEvents has no control characters, lone surrogates or noncharacters in an attribute. */
const ILLEGAL: Readonly<Record<string, string>> = {
  NUL: "a\0b",
  "U+0001": "a\u0001b",
  "U+001F": "a\u001fb",
  newline: "a\nb",
  tab: "a\tb",
  DEL: "a\u007fb",
  "U+0080": "a\u0080b",
  "U+009F": "a\u009fb",
  "lone high surrogate": "a\ud800b",
  "lone low surrogate": "a\udfffb",
  "surrogates the wrong way round": "a\udc00\ud800b",
  "high surrogate at the end": "a\ud83d",
  "U+FDD0": "a\ufdd0b",
  "U+FFFE": "a\ufffeb",
  "U+FFFF": "a\uffffb",
  "U+1FFFE": "a\u{1fffe}b",
  "U+10FFFF": "a\u{10ffff}b",
};

const LEGAL: Readonly<Record<string, string>> = {
  "one space": " ",
  "no-break spaces": "\u00a0\u2007\u202f",
  "right-to-left override": "\u202egnp.exe",
  "Arabic and Hebrew": "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
  "zero-width joiners": "a\u200d\u200cb",
  "byte order mark": "\ufeffa",
  emoji: "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}",
  "beyond the first plane": "\u{20000}\u{10fffd}",
  "a hundred combining marks": `a${"\u0301".repeat(100)}`,
  "replacement character": "a\ufffdb",
  "line separators": "a\u2028b\u2029c",
  "both forms of one letter": "\u00e9e\u0301",
  quotes: `'"\`\u2019`,
  backslashes: "\\\\x00\\",
  "an SQL statement": "'; DROP TABLE audit.events; --",
  "a bind parameter": "$1 ? :x %s",
  "percent-encoded": "%00%0a%2f..%2f",
  "a path upwards": "../../../etc/passwd",
  "a template": "${jndi:ldap://x} {{7*7}} <%= 1 %>",
  "a COPY end": "\\.",
  "the word null": "null",
};

type Where = Readonly<{
  name: string;
  isAttribute: boolean;
  /** Of what is no attribute: whether "" will not do. */
  isRequired?: boolean;
  body: (id: string, text: string) => unknown;
}>;

const attribute = (name: string): Where => ({
  name,
  isAttribute: true,
  body: (id, text) => ({ ...event(id), [name]: text }),
});
const data = (name: string, isRequired: boolean, change: (text: string) => Json): Where => ({
  name: `data.${name}`,
  isAttribute: false,
  isRequired,
  body: (id, text) => ({ ...event(id), data: { ...event(id).data, ...change(text) } }),
});
/** The id stays one of its own. */
const ids: Where = { ...attribute("id"), body: (id, text) => ({ ...event(id), id: text === "" ? "" : id + text }) };

const ATTRIBUTES = [ids, attribute("source"), attribute("type"), attribute("subject")];
const COLUMNS = [
  data("actor.id", true, (text) => ({ actor: { id: text } })),
  data("actor.type", false, (text) => ({ actor: { id: "alice", type: text } })),
  data("action", true, (text) => ({ action: text })),
  data("reason", false, (text) => ({ reason: text })),
  data("target.type", false, (text) => ({ target: { type: text } })),
  data("target.id", false, (text) => ({ target: { id: text } })),
  data("resource.id", false, (text) => ({ resource: { id: text } })),
];
/** Neither an attribute of ours nor a column. */
const ELSEWHERE = [attribute("extension"), data("note", false, (text) => ({ note: text }))];

const unstorable = (text: string) => text.includes("\0") || !text.isWellFormed();

function fateOf({ name, isAttribute }: Where, text: string, isLegal: boolean): Fate {
  if (name === "extension" || name === "data.note" || isLegal) return "Stored";
  if (isAttribute) return "Invalid/InvalidValue";
  return unstorable(text) ? "Unstorable/InvalidValue" : "Stored";
}

const escaped = (text: string) =>
  `"${Array.from({ length: text.length }, (_, n) => `\\u${text.charCodeAt(n).toString(16).padStart(4, "0")}`).join("")}"`;

function* inStructured(texts: Readonly<Record<string, string>>, isLegal: boolean): Generator<HostileCase> {
  for (const [kind, text] of Object.entries(texts)) {
    for (const where of [...ATTRIBUTES, ...COLUMNS, ...ELSEWHERE]) {
      const fate = fateOf(where, text, isLegal);
      yield { name: `${where.name} with ${kind}`, fate, make: (id) => structuredEvent(where.body(id, text)) };
      if (where.name === "id") continue;
      const all = escaped(text);
      yield {
        name: `${where.name} with ${kind}, all escaped`,
        fate,
        make: (id) => structured(spliced((marker) => where.body(id, marker), all)),
      };
    }
  }
}

function* inHeaders(texts: Readonly<Record<string, string>>, isLegal: boolean): Generator<HostileCase> {
  for (const [kind, text] of Object.entries(texts).filter(([, value]) => value.isWellFormed())) {
    for (const name of ["id", "source", "type", "subject", "extension"]) {
      const fate = name === "extension" || isLegal ? "Stored" : "Invalid/InvalidValue";
      const value = (id: string) => (name === "id" ? id + text : text);
      yield {
        name: `header ce_${name} with ${kind}`,
        fate,
        make: (id) => binary(id, undefined, { [name]: value(id) }),
      };
    }
  }
}

/** Bytes that are no UTF-8. */
const BROKEN: Readonly<Record<string, readonly number[]>> = {
  "a continuation alone": [0x80],
  "an overlong NUL": [0xc0, 0x80],
  "an overlong slash": [0xc1, 0xaf],
  "an overlong character of three bytes": [0xe0, 0x80, 0xaf],
  "a surrogate": [0xed, 0xa0, 0x80],
  "a pair of surrogates": [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80],
  "a character past U+10FFFF": [0xf4, 0x90, 0x80, 0x80],
  "five bytes": [0xf8, 0x88, 0x80, 0x80, 0x80],
  "0xFF": [0xff],
  "0xFE": [0xfe],
  "two bytes cut off": [0xc3],
  "three bytes cut off": [0xe2, 0x82],
  "four bytes cut off": [0xf0, 0x9f, 0x98],
};

function* broken(): Generator<HostileCase> {
  for (const [kind, bytes] of Object.entries(BROKEN)) {
    const text = Buffer.from([0x22, 0x61, ...bytes, 0x62, 0x22]);
    const bare = text.subarray(1, -1);
    for (const { name, body } of [...ATTRIBUTES.slice(1), ...COLUMNS, ...ELSEWHERE]) {
      yield {
        name: `${name} with ${kind}`,
        fate: "Malformed/InvalidUtf8",
        make: (id) => structured(spliced((marker) => body(id, marker), text)),
      };
    }
    yield {
      name: `outside of everything, ${kind}`,
      fate: "Malformed/InvalidUtf8",
      make: (id) => structured(Buffer.concat([Buffer.from(JSON.stringify(event(id))), Buffer.from(bytes)])),
    };
    for (const name of ["id", "source", "type", "subject", "time", "extension"]) {
      yield {
        name: `header ce_${name} with ${kind}`,
        fate: "Malformed/InvalidUtf8",
        make: (id) => binary(id, undefined, { [name]: bare }),
      };
    }
    yield {
      name: `binary data with ${kind}`,
      fate: "Malformed/InvalidUtf8",
      loose: "Stored",
      make: (id) =>
        binary(
          id,
          spliced((note) => ({ ...event(id).data, note }), text),
        ),
    };
    yield {
      name: `a header that means nothing to us with ${kind}`,
      fate: "Stored",
      make: (id) => {
        const { headers, ...rest } = binary(id);
        return { ...rest, headers: [...headers, ["x-other", bare], ["traceparent", bare]] };
      },
    };
  }
}

/** Columns that are indexed hold 2 600 bytes, alone or together. */
function* long(): Generator<HostileCase> {
  const source = event("").source.length;
  const rooms: [where: Where, bytes: number | undefined][] = [
    [attribute("source"), 2_600 - 30],
    [attribute("type"), 2_600],
    [attribute("subject"), undefined],
    ...COLUMNS.map((where): [Where, number | undefined] => [
      where,
      {
        "data.actor.id": 2_600,
        "data.action": 2_600 - "success".length,
        "data.target.id": 2_600,
        "data.resource.id": 2_600,
      }[where.name],
    ]),
  ];
  for (const [where, room] of rooms) {
    for (const [length, isTooLong] of room === undefined
      ? [[200_000, false] as const]
      : ([
          [room, false],
          [room + 31, true],
          [100_000, true],
        ] as const)) {
      for (const char of ["x", "\u00e9", "\u{1f600}"]) {
        const text = char.repeat(Math.ceil(length / Buffer.byteLength(char)) - (isTooLong ? 0 : 1));
        yield {
          name: `${where.name} of ${length} bytes of ${char}`,
          fate: isTooLong ? "Unstorable/TooLarge" : "Stored",
          make: (id) => structuredEvent(where.body(id, text)),
        };
      }
    }
  }
  for (const [over, fate] of [
    [-1, "Stored"],
    [0, "Stored"],
    [1, "Unstorable/TooLarge"],
  ] as const) {
    const make = (id: string) => structuredEvent({ ...event(id), id: id.padEnd(2_600 - source + over, "x") });
    yield { name: `id and source of 2 600 bytes and ${over}`, fate, make };
  }
}

function* empty(): Generator<HostileCase> {
  for (const where of [...ATTRIBUTES, ...COLUMNS]) {
    const isRefused = where.isAttribute || where.isRequired === true;
    yield {
      name: `${where.name} empty`,
      fate: isRefused ? "Invalid/InvalidValue" : "Stored",
      loose: where.isAttribute ? "Invalid/InvalidValue" : "Stored",
      make: (id) => structuredEvent(where.body(id, "")),
    };
  }
}

export const textCases: readonly HostileCase[] = [
  ...inStructured(ILLEGAL, false),
  ...inStructured(LEGAL, true),
  ...inHeaders(ILLEGAL, false),
  ...inHeaders(LEGAL, true),
  ...broken(),
  ...long(),
  ...empty(),
];
