// After the build: each file also as Brotli and gzip, made once here instead of at every request.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const FIRST_LOAD_BYTES_MAX = 150 * 1024;

const dist = new URL('dist', import.meta.url).pathname;
const files = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !/\.(br|gz)$/.test(entry.name))
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name));

let brotli = 0;
let gzip = 0;
for (const file of files) {
  const bytes = readFileSync(file);
  const br = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
  const gz = gzipSync(bytes, { level: 9 });
  writeFileSync(`${file}.br`, br);
  writeFileSync(`${file}.gz`, gz);
  brotli += br.length;
  gzip += gz.length;
}
const kb = (bytes) => (bytes / 1024).toFixed(1);
console.log(`the page: ${files.length} files, ${kb(brotli)} KB as Brotli, ${kb(gzip)} KB as gzip`);
if (gzip > FIRST_LOAD_BYTES_MAX) {
  console.error(`the first load must stay under ${kb(FIRST_LOAD_BYTES_MAX)} KB`);
  process.exit(1);
}
