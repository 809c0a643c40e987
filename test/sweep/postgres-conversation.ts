import { type Message, MessageReader } from "../faults/postgres-messages.ts";
import type { Call, Life, Phase } from "./life.ts";
import type { Conversation } from "./proxy.ts";

/** Statements that change nothing by themselves. `SELECT pg_terminate_backend(…)` does, to somebody else. */
const READS =
  /^(SELECT(?!.*pg_terminate_backend)|BEGIN\b|START TRANSACTION|COMMIT\b|ROLLBACK\b|SET\b|SHOW\b|DISCARD\b)/is;

/**
 * One connection to PostgreSQL. Only what `writer` sends is counted: the sinks' own logins, and the probe that logs in as
 * them, write what they write. A COMMIT counts where its transaction wrote.
 */
export function postgresConversation(life: Life, writer: string): Conversation {
  const reader = new MessageReader("client");
  const answers = new MessageReader("server");
  let counts = false;
  let inside = false;
  let wrote = false;
  let fate: Phase | undefined;

  const meet = (statement: string): boolean => {
    const isCommit = /^COMMIT\b/i.test(statement);
    const isWrite = isCommit ? wrote : !READS.test(statement);
    if (/^(BEGIN|COMMIT|ROLLBACK)\b/i.test(statement)) {
      inside = /^BEGIN\b/i.test(statement);
      wrote = false;
    } else if (isWrite) wrote = true;
    if (!isWrite) return true;
    const call: Call = { system: "PostgreSQL", what: told(statement), ...(inside ? { insideTransaction: true } : {}) };
    const met = life.reach(call);
    if (met === "dead") return false;
    if (met !== "pass") fate = met;
    return true;
  };

  return {
    fromClient(chunk) {
      const out: Buffer[] = [];
      for (const message of reader.read(chunk)) {
        if (message.type === "") counts = userOf(message) === writer;
        const statement = statementOf(message)?.trim();
        if (counts && statement !== undefined && !meet(statement)) return undefined;
        out.push(message.bytes);
      }
      return Buffer.concat(out);
    },

    fromServer(chunk) {
      const isReady = answers.read(chunk).some(({ type }) => type === "Z");
      if (fate === "answer-lost") {
        // The server says that it is done, and nobody hears it.
        if (isReady) life.kill();
        return undefined;
      }
      if (fate === "answered" && isReady) life.doom();
      return chunk;
    },
  };
}

/** The SQL of a Query or a Parse message. */
function statementOf({ type, bytes }: Message): string | undefined {
  if (type === "Q") return text(bytes, 5);
  if (type === "P") return text(bytes, bytes.indexOf(0, 5) + 1);
  return undefined;
}

/** A start packet: length, protocol, then names and values. */
function userOf({ bytes }: Message): string | undefined {
  const words = bytes.toString("utf8", 8).split("\0");
  return words[words.indexOf("user") + 1];
}

const text = (bytes: Buffer, from: number) => bytes.toString("utf8", from, bytes.indexOf(0, from));

const told = (statement: string) =>
  statement
    .replace(/'(?:[^']|'')*'/g, "'…'")
    .replace(/\s+/g, " ")
    .slice(0, 90);
