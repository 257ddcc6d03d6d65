# A page of the documentation: its SQL blocks with the output it shows, and the names it mentions.
# docs/development/testing.md explains how pages are written so that this module can parse them.
package Page;
use strict;
use warnings;
use utf8;
use Exporter 'import';

our @EXPORT = qw(read_page statements shown_as spans links anchors);

# Returns the blocks in page order (heading, line, kind: 'sql', 'output' or another language, text, and not_run, the
# reason), and the prose: everything outside of blocks.
sub read_page {
    my ($path) = @_;
    open my $in, '<:encoding(UTF-8)', $path or die "$path: $!\n";
    my ($heading, $prose, $reason, $block, @blocks) = ('', '', undef, undef);
    my $beside = 0;    # only empty lines since the previous block
    while (my $line = <$in>) {
        if ($block) {
            if ($line =~ /^```\s*$/) { push @blocks, $block; $block = undef; $beside = 1 }
            else { $block->{text} .= $line }
            next;
        }
        if ($line =~ /^```(\w*)\s*$/) {
            my $kind = $1 ne '' ? $1 : $beside && $blocks[-1]{kind} eq 'sql' ? 'output' : 'text';
            $block = { heading => $heading, line => $. + 1, kind => $kind, text => '', not_run => $reason };
            $reason = undef;
            next;
        }
        $reason = $1 if $line =~ /^<!-- not run: (.*?) *-->\s*$/;
        $heading = $1 if $line =~ /^#+ +(.*?)\s*$/;
        $beside = 0 if $line =~ /\S/;
        $prose .= $line;
    }
    die "$path: a block that does not end\n" if $block;
    die "$path: nothing follows the last \"not run\"\n" if defined $reason;
    return ($prose, @blocks);
}

# The statements of an SQL block: text, line, and the expected result given by "-->" at the end. A statement ends with
# its line; lines within $$ or $name$ belong to the body of a function.
sub statements {
    my ($block) = @_;
    my ($text, $inside, $line, @statements) = ('', '', $block->{line} - 1);
    for (split /\n/, $block->{text}) {
        $line++;
        next if $text eq '' && /^\s*(--.*)?$/;
        $text .= "$_\n";
        while (/(\$\w*\$)/g) {
            if ($inside eq '') { $inside = $1 } elsif ($inside eq $1) { $inside = '' }
        }
        next if $inside ne '' || !(/;\s*(?:--(?:> *(.*?))?.*)?$/ || /^\\|\\g\w*\s*$/);
        my ($gives) = /;\s*--> *(.*?)\s*$/;
        push @statements, { text => $text, line => $line, gives => $gives };
        $text = '';
    }
    die "line $block->{line}: the block ends within a statement\n" if $text =~ /\S/;
    return @statements;
}

# Whether output is as shown; "…" stands for anything within a line, or for any lines. Column widths do not matter.
sub shown_as {
    my ($output, $shown) = @_;
    my @shown = map { s/[ \t]+/ /gr } map { s/-+/-/gr } map { s/^\s+|\s+$//gr } split /\n/, $shown =~ s/\A\n+|\n+\z//gr;
    my $pattern = join '', map { $_ eq '…' ? '(?:.*\n)*?' : join('.*?', map { quotemeta } split /…/, $_, -1) . '\n' } @shown;
    my $lines = join '', map { "$_\n" } map { s/[ \t]+/ /gr } map { s/-+/-/gr } map { s/^\s+|\s+$//gr }
        split /\n/, $output =~ s/\A\n+|\n+\z//gr;
    return $lines =~ /\A$pattern\z/;
}

# The `code` spans of prose.
sub spans { my ($prose) = @_; return $prose =~ /(?<!`)`([^`\n]+)`(?!`)/g }

# The targets of its links, except those outside the repository.
sub links { my ($prose) = @_; return grep { !/^[a-z]+:/ } $prose =~ /\]\(([^)\s]+)\)/g }

# The anchors of its headings, generated like GitHub does.
sub anchors {
    my ($prose) = @_;
    return map { (lc =~ s/[^\w\- ]//gr) =~ tr/ /-/r } $prose =~ /^#+ +(.*?)\s*$/mg;
}

1;
