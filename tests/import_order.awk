# Reads src/lib.rs and then every source file, and complains about an import that runs upwards.
#
# The order of rooms is the order of the `pub mod` lines in src/lib.rs: a room uses the rooms of the groups above its own
# line, and no other room of its own group. A blank or comment line ends a group. Test modules may use any room.
#
# Usage: awk -f tests/import_order.awk src/lib.rs FILE...
# Prints `FILE:LINE: ROOM may not use OTHER` for each such import and exits with 1 if there is one.

function room_of(path,   parts) {
  split(path, parts, "/")
  sub(/\.rs$/, "", parts[2])
  return parts[2]
}

# Where `mod name;` in `path` is: beside a mod.rs, below any other file.
function child(path, name) {
  if (path !~ /\/(mod|lib|main)\.rs$/) { sub(/\.rs$/, "", path); return path "/" name }
  sub(/[^\/]*$/, "", path)
  return path name
}

function complain(text) {
  complaint[++complaints] = FILENAME ":" FNR ": " text
  about[complaints] = FILENAME
}

FNR == 1 {
  room = room_of(FILENAME)
  is_map = FILENAME == "src/lib.rs" && !mapped++
  in_tests = test_attribute = 0
}

is_map {
  if (/^pub mod [a-z_]+;/) {
    if (!in_group++) level++
    name = $3
    sub(/;$/, "", name)
    order[name] = level
  } else {
    in_group = 0
  }
  next
}

# `#[cfg(test)]` before an inline module: the rest of the file is tests. Before `mod x;`: that file and folder are.
/^#\[cfg\(test\)\]/ { test_attribute = 1; next }
test_attribute && /^(pub(\([a-z]+\))? )?mod [a-z_]+/ {
  for (i = 1; i <= NF; i++) if ($i == "mod") name = $(i + 1)
  if (name ~ /;$/) { sub(/;$/, "", name); test_module[child(FILENAME, name)] = 1 } else in_tests = 1
}
test_attribute && !/^#\[/ { test_attribute = 0 }

in_tests || /^[ \t]*\/\// { next }

/crate::\{/ { complain("name each room in a `use` of its own, so that this check can read it") }

{
  line = $0
  while (match(line, /crate::[a-z_]+/)) {
    other = substr(line, RSTART + 7, RLENGTH - 7)
    line = substr(line, RSTART + RLENGTH)
    if (other in order && room in order && other != room && order[other] >= order[room]) complain(room " may not use " other)
  }
}

END {
  for (i = 1; i <= complaints; i++) {
    of_a_test = 0
    for (path in test_module) if (about[i] == path ".rs" || index(about[i], path "/") == 1) of_a_test = 1
    if (!of_a_test) { print complaint[i]; bad = 1 }
  }
  exit bad
}
