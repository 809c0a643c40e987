import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder, installOnce, withLock } from "./cache.ts";
import { run, withProgress } from "./run.ts";

const pom = join(import.meta.dirname, "downloads/pom.xml");
const version = "4.3.1";

/** A Maven repository of our own: its size and state do not depend on what else the user builds. */
export const mavenRepository = () => join(cacheFolder(), "maven");

/** Fetches the broker's jars from Maven Central (92 files, 55 MB) unless they are cached. @returns the class path. */
export async function installKafka(): Promise<string> {
  const key = createHash("sha256").update(readFileSync(pom)).digest("hex").slice(0, 8);
  const folder = await installOnce(join(cacheFolder(), `kafka-${version}-${key}`), (temporary) =>
    withProgress(`Getting Apache Kafka ${version} from Maven Central`, () => maven(temporary)),
  );
  return join(folder, "*");
}

/** Two Mavens writing into one repository can spoil it, hence the lock. */
async function maven(outputDirectory: string): Promise<void> {
  await withLock(`${mavenRepository()}.lock`, () =>
    run("mvn", [
      "-q",
      "-B",
      "-f",
      pom,
      "dependency:copy-dependencies",
      `-DoutputDirectory=${outputDirectory}`,
      `-Dmaven.repo.local=${mavenRepository()}`,
    ]),
  );
}

/**
 * The class-data archive halves the broker's start. It fits one Java build only, hence the name.
 * @param record starts and stops a broker that writes the archive to the given file
 */
export async function classArchive(record: (file: string) => Promise<void>): Promise<string> {
  const java = createHash("sha256")
    .update(await run("java", ["-version"]))
    .digest("hex")
    .slice(0, 8);
  const folder = await installOnce(join(cacheFolder(), `kafka-${version}-classes-${java}`), (temporary) =>
    withProgress("Preparing a fast start of Kafka", () => record(join(temporary, "kafka.jsa"))),
  );
  return join(folder, "kafka.jsa");
}
