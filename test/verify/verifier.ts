import { spawn } from "node:child_process";
import { join } from "node:path";

export interface Verdict {
  readonly exitCode: number;
  readonly good: boolean;
  readonly partitions: readonly {
    topicId: string;
    partition: number;
    nextOffset: number;
    head: string;
    comparedWithLog: number;
    withoutAppendTime: number;
    logEnd: number | null;
    dropped: number;
    good: boolean;
    offsets: Readonly<Record<string, number>>;
  }[];
  readonly problems: readonly {
    check: string;
    topicId: string | null;
    partition: number;
    offset: number;
    reason: string;
  }[];
}

const command = join(import.meta.dirname, "../../hack/verify/verify");

/** Runs the Java verifier against `url`; rejects where it could not look at all (exit 2). */
export async function verify(url: string, ...options: readonly string[]): Promise<Verdict> {
  const { exitCode, stdout, stderr } = await runVerifier(["-o", "json", ...options], url);
  if (exitCode === 2) throw new Error(`The verifier did not run: ${stderr}`);
  return { exitCode, ...(JSON.parse(stdout) as Omit<Verdict, "exitCode">) };
}

type BatchVerdict = Omit<Verdict, "exitCode">;

/** One run of the verifier for many ledgers: a Java machine for each would take seconds. Verdicts in the order asked. */
export async function verifyBatch(asked: readonly (readonly string[])[]): Promise<BatchVerdict[]> {
  const input = asked.map((options) => JSON.stringify(options)).join("\n");
  const { stdout, stderr } = await runVerifier(["--batch"], undefined, input);
  const answers = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as BatchVerdict | { error: string });
  if (answers.length !== asked.length)
    throw new Error(`${answers.length} answers to ${asked.length} questions: ${stderr}`);
  return answers.map((answer, n) => {
    if ("error" in answer) throw new Error(`The verifier did not run: ${answer.error} (${String(asked[n]?.slice(2))})`);
    return answer;
  });
}

/** The URL goes by the environment: command lines are seen by every user of the machine. */
export function runVerifier(
  args: readonly string[],
  url?: string,
  input = "",
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const { POSTGRES_READER_URL: _, ...inherited } = process.env;
    const env = url === undefined ? inherited : { ...inherited, POSTGRES_READER_URL: url };
    const child = spawn(command, args, { env, stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.on("error", () => undefined).end(input);
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.once("error", reject);
    child.once("close", (code) => resolve({ exitCode: code ?? 2, stdout, stderr }));
  });
}
