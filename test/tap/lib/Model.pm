# Creates GGUF and safetensors files of any size with deterministic weights; all rows differ.
package Model;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(write_gguf small_gguf large_gguf gguf_bytes);

my %type_number = (F32 => 0, F16 => 1);
my $chunk_weights = 1 << 16;

# A chunk of weights as bytes. Its amplitude rises and falls, so that rows cut from it differ in importance.
sub chunk {
    my ($type, $seed) = @_;
    my @values;
    my $state = $seed * 2654435761 % 4294967296;
    for my $i (0 .. $chunk_weights - 1) {
        $state = ($state * 1664525 + 1013904223) % 4294967296;
        push @values, ($state / 4294967296 - 0.5) * (0.02 + abs(sin($i / 997)));
    }
    return pack 'f<*', @values if $type eq 'F32';
    # F16 by truncating an F32, which is enough for normal numbers below 2.
    return pack 'S<*', map {
        my $bits = unpack 'L<', pack 'f<', $_;
        my $exponent = ($bits >> 23 & 255) - 112;
        $exponent <= 0 ? 0 : ($bits >> 16 & 0x8000) | $exponent << 10 | ($bits >> 13 & 1023);
    } @values;
}

# The bytes of a matrix: each row is a window of the chunk, advanced by a step that is coprime to its length.
sub matrix {
    my ($chunk, $width, $rows, $columns, $from) = @_;
    my $doubled = $chunk x (2 + int($columns / $chunk_weights));
    return join '', map { substr $doubled, (($_ + $from) * 4099 % $chunk_weights) * $width, $columns * $width }
        0 .. $rows - 1;
}

sub text { return pack 'Q</a*', $_[0] }
sub padded { my ($bytes, $to) = @_; return $bytes . "\0" x (-length($bytes) % $to) }

# Options: seed, architecture, blocks, tensors: a list of [name, type, columns, rows] (a vector without rows).
sub gguf_bytes {
    my (%o) = @_;
    my %chunks;
    my ($infos, $data) = ('', '');
    my $row = 0;
    for my $t (@{ $o{tensors} }) {
        my ($name, $type, $columns, $rows) = @$t;
        my @dims = grep { defined } $columns, $rows;
        $infos .= text($name) . pack('L<', scalar @dims) . pack('Q<*', @dims)
            . pack('L<Q<', $type_number{$type}, length $data);
        $chunks{$type} //= chunk($type, $o{seed} // 1);
        $data .= padded(matrix($chunks{$type}, $type eq 'F32' ? 4 : 2, $rows // 1, $columns, $row), 32);
        $row += $rows // 1;
    }
    my $metadata = text('general.architecture') . pack('L<', 8) . text($o{architecture} // 'llama')
        . text('general.name') . pack('L<', 8) . text($o{name} // 'made for a test')
        . text('llama.block_count') . pack('L<L<', 4, $o{blocks} // 1);
    my $head = 'GGUF' . pack('L<Q<Q<', 3, scalar @{ $o{tensors} }, 3) . $metadata . $infos;
    return padded($head, 32) . $data;
}

sub write_gguf {
    my ($path, %o) = @_;
    open my $file, '>:raw', $path or die "$path: $!\n";
    print $file gguf_bytes(%o) or die "$path: $!\n";
    close $file or die "$path: $!\n";
    chmod 0644, $path;
    return $path;
}

# Two blocks of an F32 network with a vector and an F16 matrix: 1300 atoms, 1.4 MB.
sub small_gguf {
    my ($path, $seed) = @_;
    my @blocks = map { (
        ["blk.$_.attn_norm.weight", 'F32', 256],
        ["blk.$_.attn_q.weight", 'F32', 256, 256],
        ["blk.$_.ffn_up.weight", 'F32', 256, 384],
    ) } 0, 1;
    return write_gguf($path, seed => $seed // 1, blocks => 2,
        tensors => [['token_embd.weight', 'F16', 256, 20], @blocks]);
}

# The given number of blocks, each with one matrix of 4 MB.
sub large_gguf {
    my ($path, $blocks, $seed) = @_;
    return write_gguf($path, seed => $seed // 1, blocks => $blocks,
        tensors => [map { ["blk.$_.ffn_up.weight", 'F32', 1024, 1024] } 0 .. $blocks - 1]);
}

1;
