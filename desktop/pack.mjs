// After the build: each file also as Brotli and gzip, made once here instead of at every request.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

/**
 * What the browser loads before somebody can sign in: the document, what it names, the words of one language (those that are
 * longest), and the worker. As Brotli.
 */
const FIRST_LOAD_BYTES_MAX = 90 * 1024;
/** Everything, as gzip. */
const ALL_BYTES_MAX = 260 * 1024;

const dist = new URL('dist', import.meta.url).pathname;
const files = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !/\.(br|gz)$/.test(entry.name))
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name));

const names = readFileSync(join(dist, 'index.html'), 'utf8');
const isFirst = (file) => /\/(?:index\.html|sw\.js|ja-[^/]+\.js)$/.test(file) || names.includes(basename(file));

let first = 0;
let brotli = 0;
let gzip = 0;
for (const file of files) {
  const bytes = readFileSync(file);
  const br = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
  const gz = gzipSync(bytes, { level: 9 });
  writeFileSync(`${file}.br`, br);
  writeFileSync(`${file}.gz`, gz);
  if (isFirst(file)) first += br.length;
  brotli += br.length;
  gzip += gz.length;
}
const kb = (bytes) => (bytes / 1024).toFixed(1);
console.log(
  `the page: ${files.length} files, ${kb(brotli)} KB as Brotli, ${kb(gzip)} KB as gzip; first load ${kb(first)} KB as Brotli`,
);
if (first > FIRST_LOAD_BYTES_MAX || gzip > ALL_BYTES_MAX) {
  console.error(`the first load must stay under ${kb(FIRST_LOAD_BYTES_MAX)} KB (Brotli), everything under ${kb(ALL_BYTES_MAX)} KB (gzip)`);
  process.exit(1);
}
