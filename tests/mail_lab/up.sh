#!/usr/bin/env bash
# Starts a private Postfix and a private Dovecot on free loopback ports, writes RUN_DIR/mail.env, prints "ready", and runs
# both until its standard input ends, as it also does when the process that writes to it dies.
#
# RUN_DIR/tls/cert.pem and key.pem exist: the servers' certificate. Dovecot checks passwords (user "report", password
# "hunter2"), and asks the test, over HTTP at 127.0.0.1:POLICY_PORT, whose an access token is (XOAUTH2). Postfix takes mails at four ports, all with the same rules for recipients:
#   STARTTLS_PORT   STARTTLS and a sign-in are required
#   TLS_PORT        the same, with TLS from the first byte
#   PLAIN_PORT      neither; for this machine
#   BARE_PORT       as PLAIN_PORT; EHLO offers nothing
# Whether it takes a recipient, and a mail, is asked at the policy service at 127.0.0.1:POLICY_PORT, which the test runs.
# What it takes for NAME@sakura.example.jp (MAILBOXES below) is in RUN_DIR/mail/NAME/new, and for @docomo.ne.jp in
# RUN_DIR/mail/docomo/new. What it takes for later@sakura.example.jp it returns: nobody is there (5.1.1). What comes back, to
# bounce+…@ and reply+…@toritsugi.example.jp, is in the mailbox of the user "bounce" (same password), which Dovecot serves by IMAP with TLS at
# IMAPS_PORT and without at IMAP_PORT.
#
# Commands on standard input, one a line; each answers "ready" or "stopped":
#   stop, start    ends or starts Postfix, on the same ports and queue
#
# MAIL_LAB_NICE (0) is how far behind other processes its servers stand (nice): a measurement of the daemon lets them stand for
# those of another machine.
#
#   up.sh RUN_DIR POLICY_PORT
#   up.sh --install    only installs what it needs, where it may
#
# Invariant: no server outlives this script, none listens anywhere but on 127.0.0.1, and no mail leaves the machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/tools.sh

readonly PORT_MIN=28000 PORTS=1900
readonly START_TIMEOUT_SECONDS=60
# The mailboxes of sakura.example.jp.
readonly MAILBOXES=(sasaki ito desk gone busy cut slow quick away safe wire again timed drained kato mori later second keiri shacho sv report{0..11} 0355501000 0355501001 0355501002)
readonly NICE="${MAIL_LAB_NICE:-0}"
RUN_DIR="$1" POLICY_PORT="${2:-}" POSTFIX_PID="" DOVECOT_PID=""

install() {
  export RUNLEVEL=1
  need postfix postfix dovecot dovecot-core /usr/lib/dovecot/imap dovecot-imapd \
    setpriv util-linux flock util-linux awk mawk
}

write_dovecot() {
  mkdir -p "$RUN_DIR/dovecot"
  cat > "$RUN_DIR/dovecot/dovecot.conf" << END
base_dir = $RUN_DIR/dovecot/run
state_dir = $RUN_DIR/dovecot/state
log_path = $RUN_DIR/dovecot.log
protocols = imap
ssl = yes
ssl_cert = <$RUN_DIR/tls/cert.pem
ssl_key = <$RUN_DIR/tls/key.pem
listen = 127.0.0.1
mail_location = maildir:$RUN_DIR/mail/%n
auth_mechanisms = plain login xoauth2
disable_plaintext_auth = no
passdb {
  driver = oauth2
  mechanisms = xoauth2
  args = $RUN_DIR/dovecot/oauth2
}
passdb {
  driver = passwd-file
  args = scheme=PLAIN $RUN_DIR/dovecot/users
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=$RUN_DIR/mail
}
namespace inbox {
  inbox = yes
}
service imap-login {
  inet_listener imap {
    port = $IMAP_PORT
  }
  inet_listener imaps {
    port = $IMAPS_PORT
  }
}
service auth {
  unix_listener $RUN_DIR/dovecot/auth {
    mode = 0666
  }
}
END
  cat > "$RUN_DIR/dovecot/oauth2" << END
introspection_mode = get
introspection_url = http://127.0.0.1:$POLICY_PORT/token?access_token=
username_attribute = username
active_attribute = active
active_value = true
END
  printf '%s:{PLAIN}hunter2\n' report bounce > "$RUN_DIR/dovecot/users"
}

write_postfix() {
  local etc="$RUN_DIR/postfix/etc" name
  mkdir -p "$etc" "$RUN_DIR/postfix/spool" "$RUN_DIR/postfix/data" "$RUN_DIR/mail"
  chown postfix "$RUN_DIR/postfix/data"
  chown nobody:nogroup "$RUN_DIR/mail"
  cat > "$etc/main.cf" << END
compatibility_level = 3.6
queue_directory = $RUN_DIR/postfix/spool
data_directory = $RUN_DIR/postfix/data
maillog_file = $RUN_DIR/postfix.log
maillog_file_prefixes = $RUN_DIR
myhostname = localhost
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
default_transport = error:no mail leaves this machine
relay_transport = error:no mail leaves this machine
local_transport = error:no mail leaves this machine
virtual_mailbox_domains = sakura.example.jp, docomo.ne.jp, toritsugi.example.jp
recipient_delimiter = +
transport_maps = texthash:$etc/transport
later_destination_recipient_limit = 1
virtual_mailbox_base = $RUN_DIR/mail
virtual_mailbox_maps = regexp:$etc/mailboxes, texthash:$etc/names, texthash:$etc/bounces
virtual_uid_maps = static:$(id -u nobody)
virtual_gid_maps = static:$(id -g nobody)
smtpd_tls_cert_file = $RUN_DIR/tls/cert.pem
smtpd_tls_key_file = $RUN_DIR/tls/key.pem
smtpd_sasl_type = dovecot
smtpd_sasl_path = $RUN_DIR/dovecot/auth
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:$POLICY_PORT
smtpd_end_of_data_restrictions = check_policy_service inet:127.0.0.1:$POLICY_PORT
smtpd_policy_service_default_action = 451 4.3.5 the test's policy service is away
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtpd_hard_error_limit = 1000
strict_rfc821_envelopes = yes
END
  # The delivery agent allows no substitution in a pattern.
  echo '/^.*@docomo\.ne\.jp$/ docomo/' > "$etc/mailboxes"
  printf '%s@toritsugi.example.jp bounce/\n' bounce reply > "$etc/bounces"
  # A program that says that there is no such user (EX_NOUSER).
  echo "later@sakura.example.jp later:" > "$etc/transport"
  for name in "${MAILBOXES[@]}"; do echo "$name@sakura.example.jp $name/"; done > "$etc/names"
  cat > "$etc/master.cf" << END
127.0.0.1:$STARTTLS_PORT inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject -o smtpd_delay_reject=no
  -o smtpd_sender_restrictions=permit_sasl_authenticated,reject
127.0.0.1:$TLS_PORT inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
127.0.0.1:$PLAIN_PORT inet n - n - - smtpd
127.0.0.1:$BARE_PORT inet n - n - - smtpd
  -o smtpd_discard_ehlo_keywords=pipelining,size,vrfy,etrn,starttls,auth,enhancedstatuscodes,8bitmime,dsn,smtputf8,chunking
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
error unix - - n - - error
virtual unix - n n - - virtual
later unix - n n - - pipe user=nobody argv=/bin/sh -c {exit 67}
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
END
}

wait_for() {
  local pid="$1" deadline=$((SECONDS + START_TIMEOUT_SECONDS))
  shift
  while ! "$@" > /dev/null 2>&1; do
    kill -0 "$pid" 2> /dev/null || return 1
    ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
}

start_postfix() {
  # `postfix start-fg` would leave the master process behind.
  postfix -c "$RUN_DIR/postfix/etc" check >> "$RUN_DIR/postfix.out" 2>&1 || return 1
  nice -n "$NICE" setpriv --pdeathsig TERM "$(postconf -h daemon_directory)/master" -c "$RUN_DIR/postfix/etc" -s \
    < /dev/null >> "$RUN_DIR/postfix.out" 2>&1 &
  POSTFIX_PID=$!
  wait_for "$POSTFIX_PID" is_taken "$BARE_PORT"
}

end() {
  local pid="$1" deadline=$((SECONDS + 10))
  [[ -n "$pid" ]] || return 0
  kill "$pid" 2> /dev/null || true
  while kill -0 "$pid" 2> /dev/null && ((SECONDS < deadline)); do sleep 0.02; done
  kill -KILL "$pid" 2> /dev/null || true
  wait "$pid" 2> /dev/null || true
}

stop_all() {
  end "$POSTFIX_PID"
  end "$DOVECOT_PID"
  rm -rf -- "$RUN_DIR"
}

start_all() {
  chmod 755 "$RUN_DIR"
  free_ports "$PORT_MIN" "$PORTS" IMAP_PORT IMAPS_PORT
  write_dovecot
  nice -n "$NICE" setpriv --pdeathsig TERM dovecot -F -c "$RUN_DIR/dovecot/dovecot.conf" < /dev/null >> "$RUN_DIR/dovecot.log" 2>&1 &
  DOVECOT_PID=$!
  wait_for "$DOVECOT_PID" test -S "$RUN_DIR/dovecot/auth" ||
    die "dovecot does not start:"$'\n'"$(cat "$RUN_DIR/dovecot.log")"
  free_ports "$PORT_MIN" "$PORTS" STARTTLS_PORT TLS_PORT PLAIN_PORT BARE_PORT
  write_postfix
  start_postfix || return 1
  printf '%s=%s\n' STARTTLS_PORT "$STARTTLS_PORT" TLS_PORT "$TLS_PORT" PLAIN_PORT "$PLAIN_PORT" BARE_PORT "$BARE_PORT" \
    IMAP_PORT "$IMAP_PORT" IMAPS_PORT "$IMAPS_PORT" > "$RUN_DIR/mail.env"
}

# Several test binaries may start at the same time.
(
  flock 8
  install
) 8> "${TMPDIR:-/tmp}/toritsugi-mail-install.lock"
[[ "$RUN_DIR" != --install ]] || exit 0
((EUID == 0)) || die "Postfix runs as root only: run this test as root, as the build machine does"
trap stop_all EXIT
for try in 1 2 3 4 5; do
  if start_all; then break; fi
  end "$DOVECOT_PID"
  ((try < 5)) || die "postfix does not start:"$'\n'"$(cat "$RUN_DIR/postfix.out" "$RUN_DIR/postfix.log" 2> /dev/null)"
done
echo ready
while read -r command; do
  case "$command" in
    stop) end "$POSTFIX_PID"; POSTFIX_PID=""; echo stopped ;;
    start) start_postfix || die "postfix does not start again"; echo ready ;;
    *) break ;;
  esac
done
