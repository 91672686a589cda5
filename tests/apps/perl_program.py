"""perl: data structures, a forked child behind a pipe, alarms, and a regular expression half way through a text."""

from app import await_true, check_equal, main

PROGRAM = r'''
use strict; use warnings; use IO::Socket::UNIX; use IO::Handle;
my %words; my $text = join " ", map { "word$_" } 1 .. 500;
my $alarms = 0; $SIG{ALRM} = sub { $alarms++; };
use Time::HiRes; Time::HiRes::setitimer(Time::HiRes::ITIMER_REAL(), 0.02, 0.02);
pipe(my $from_parent, my $to_child); pipe(my $from_child, my $to_parent);
my $pid = fork();
if ($pid == 0) {
  close $to_child; close $from_child; $to_parent->autoflush(1); my $sum = 0;
  while (my $line = <$from_parent>) { $sum += $line; print $to_parent "$sum\n"; }
  exit 0;
}
close $from_parent; close $to_parent; $to_child->autoflush(1);
my $server = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 5) or die;
for (;;) {
  my $client = $server->accept() or next;
  my $line; 1 until defined($line = <$client>); chomp $line;
  if ($line eq "word") { $text =~ /\G\s*(\w+)/g; $words{$1}++; print $client $1; }
  elsif ($line =~ /^add (\d+)/) { print $to_child "$1\n"; my $sum; 1 until defined($sum = <$from_child>); print $client $sum; }
  elsif ($line eq "alarms") { print $client $alarms; }
  else { print $client scalar(keys %words); }
  close $client;
}
'''


def drive(app):
    app.start("perl", app.write("program.pl", PROGRAM), app.path("socket"))
    check_equal([app.ask("socket", "word") for _ in range(3)], ["word1", "word2", "word3"], "the first words")
    check_equal(app.ask("socket", "add 40"), "40", "the child's sum")
    for _ in range(2):
        app.lose(after_save=lambda: (app.ask("socket", "word"), app.ask("socket", "add 1000")))
    check_equal(app.ask("socket", "word"), "word4", "the fourth word")
    check_equal(app.ask("socket", "add 2"), "42", "the child's sum")
    check_equal(app.ask("socket", "count"), "4", "the number of words")
    before = int(app.ask("socket", "alarms"))
    await_true(lambda: int(app.ask("socket", "alarms")) > before, "alarms go on to ring")


main(drive, "perl_program")
