import { spawn } from "node:child_process";
import { join } from "node:path";
import { prepareKafka } from "../servers/kafka.ts";

/** Kafka's own command line tools, as a person would use them. */
export interface KafkaTools {
  /** Sends records with acks=all: `header:value,…<TAB>key<TAB>value` a line. Returns when all are acknowledged. */
  produce(topic: string, lines: readonly string[]): Promise<void>;
  /** Reads `count` records: headers, then the value, a line each. */
  consume(topic: string, count: number): Promise<string[]>;
  topics(): Promise<string[]>;
}

export async function kafkaTools(bootstrapServers: string): Promise<KafkaTools> {
  const { classPath, archive } = await prepareKafka();
  const log4j = join(import.meta.dirname, "../servers/log4j2.properties");
  const java = (mainClass: string, args: string[], input = "") =>
    runJava(
      [
        ...["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", `-XX:SharedArchiveFile=${archive}`],
        ...[`-Dlog4j2.configurationFile=file:${log4j}`, "-cp", classPath, mainClass],
        ...["--bootstrap-server", bootstrapServers, ...args],
      ],
      input,
    );

  return {
    async produce(topic, lines) {
      const reader = ["parse.key=true", "parse.headers=true"].flatMap((property) => ["--reader-property", property]);
      const args = ["--topic", topic, "--command-property", "acks=all", ...reader];
      await java("org.apache.kafka.tools.ConsoleProducer", args, `${lines.join("\n")}\n`);
    },
    async consume(topic, count) {
      const formatter = ["--formatter-property", "print.headers=true"];
      const args = ["--topic", topic, "--from-beginning", "--max-messages", String(count), "--timeout-ms", "20000"];
      const output = await java("org.apache.kafka.tools.consumer.ConsoleConsumer", [...args, ...formatter]);
      return output.split("\n").filter((line) => line.includes("audit-error-reason"));
    },
    async topics() {
      return (await java("org.apache.kafka.tools.TopicCommand", ["--list"])).split("\n").filter((line) => line !== "");
    },
  };
}

function runJava(args: string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn("java", args, { stdio: ["pipe", "pipe", "pipe"] });
    let output = "";
    let errors = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.once("error", reject);
    child.once("close", (code) => (code === 0 ? resolve(output) : reject(new Error(`${errors}\n${output}`.trim()))));
    child.stdin.end(input);
  });
}
