import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../servers/run.ts";

export interface ImageBuild {
  /** Folder with a Dockerfile and all it copies. */
  readonly context: string;
  readonly tag: string;
  /** The docker-archive that is written; without one the image is there for the next build only. */
  readonly archive?: string;
  /** Stage of the Dockerfile; default the last. */
  readonly target?: string;
  readonly args?: Readonly<Record<string, string>>;
}

/** Builds one image by itself: no daemon, no registry, and a storage that is gone after it. */
export const buildImage = (build: ImageBuild) => withStorage((buildah) => buildIn(buildah, build));

export type Buildah = (args: readonly string[]) => Promise<string>;

/** Several images, where a later one is built on an earlier one. */
export async function withStorage<T>(work: (buildah: Buildah) => Promise<T>): Promise<T> {
  const storage = mkdtempSync(join(tmpdir(), "audit-pipeline-images-"));
  const env = { ...process.env, BUILDAH_ISOLATION: "chroot", STORAGE_DRIVER: "vfs" };
  const place = ["--root", join(storage, "root"), "--runroot", join(storage, "run")];
  try {
    return await work((args) => run("buildah", [...place, ...args], { env }));
  } finally {
    rmSync(storage, { recursive: true, force: true });
  }
}

export async function buildIn(buildah: Buildah, build: ImageBuild): Promise<void> {
  const { context, tag, archive, target, args = {} } = build;
  const options = [
    ...Object.entries(args).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]),
    ...(target === undefined ? [] : ["--target", target]),
  ];
  // The same content gives the same image, whenever it is built.
  await buildah([
    "build",
    "--quiet",
    "--pull-never",
    "--timestamp",
    "0",
    "--layers=false",
    ...options,
    "-t",
    tag,
    context,
  ]);
  if (archive === undefined) return;
  rmSync(archive, { force: true });
  await buildah(["push", "--quiet", tag, `docker-archive:${archive}:${tag}`]);
}
