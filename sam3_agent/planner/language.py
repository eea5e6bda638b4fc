"""Language of a query: what is not English is refused, so that no foreign word is reported as an absent thing."""

import re
import unicodedata

from sam3_agent.planner.lexicon import word_set
from sam3_agent.planner.query_ast import BeyondRules

_KNOWN_BY: dict[str, frozenset[str]] = {
    "German": word_set("""
        der das dem ein eine einen einem einer eines und oder nicht kein keine ist sind wo welche welcher
        welches alle alles ohne vom zum zur auf unter neben zwischen hinter rechts oben unten zeige finde
        markiere mir bitte roter rotes roten blaue blauer blaues grüne grüner grünes gelbe gelber gelbes
        schwarze schwarzes weiße weißes haus häuser baum bäume stern sterne herz herzen fisch fische vogel vögel
        katze katzen hund hunde tasse tassen schlüssel blume blumen lampe lampen kreis kreise schraube schrauben
        mensch menschen zwei drei vier größte kleinste größten kleinsten
    """),
    "French": word_set("""
        le les un une des du et ou où est sont qui que quel quelle dans sur sous avec sans entre au aux gauche
        droite haut bas trouve trouvez montre montrez tous toutes rouge rouges bleu bleue bleus vert verte jaune
        noir noire blanc blanche maison maisons voiture voitures arbre arbres étoile étoiles cœur coeur poisson
        poissons oiseau chien tasse clé fleur fleurs bateau parapluie cercle deux trois quatre grande petite ce
        cette pas
    """),
    "Spanish": word_set("""
        el los las unos unas del y está están dónde donde qué cuál entre izquierda derecha arriba abajo
        encuentra muestra todos todas rojo roja rojos rojas azul azules verde verdes amarillo amarilla negro
        negra blanco blanca casa casas coche coches árbol árboles estrella estrellas corazón pájaro gato gatos
        perro perros taza llave llaves flor flores lámpara barco paraguas círculo dos tres cuatro cinco pequeño
        pequeña esta
    """),
    "Italian": word_set("""
        il lo gli uno della delle degli dei di sono che quale senza tra sinistra destra sopra sotto trova mostra
        tutti tutte rosso rossa rossi rosse gialla giallo nera nero bianco bianca casa macchina albero alberi
        stella stelle pesce pesci uccello gatto gatti tazza chiave chiavi fiore fiori lampada barca cuore cuori
        cerchio tre quattro più
    """),
    "Portuguese": word_set("""
        os uma uns umas da dos das ou não onde está estão sem entre esquerda direita acima abaixo encontre
        mostre todos todas vermelho vermelha vermelhos amarelo amarela preto preta branco branca carro carros
        árvore estrela estrelas coração peixe pássaro gato cachorro xícara chave barco dois duas três maior
        menor
    """),
    "Dutch": word_set("""
        het een en niet geen zijn waar welke zonder onder naast tussen rechts boven rode blauwe groene gele
        zwarte witte huis huizen boom bomen ster sterren vis vissen vogel hond kat sleutel bloem bloemen twee
        drie vier grootste kleinste laat zien
    """),
}
"""Language -> function words, colors, places and the commonest nouns: enough to know a short query by. Words that are
English as well ("die", "in", "man", "van", "dove", "sin", "links", "grand", "boot") are left out."""
_ENGLISH = word_set("""
    the a an of and or not in on at to from with without by is are that which who what where all every each any
    both no left right top bottom next near between inside above below under over one ones two three four five
    red blue green yellow black white purple pink brown gray biggest largest smallest except but if there it its
    this these those find show mark segment house car tree star person
""")
_LOANS = word_set("""
    café cafe jalapeño piñata crêpe crème brûlée entrée façade décor purée soufflé sauté pâté éclair fiancé
    fiancée matinée rosé bidet naïve doppelgänger über açaí señor señorita jardinière étagère papier mâché maché
""")
_GERMAN_DIE = re.compile(r"^die (?!(?:on|in|at|with|that|which|from|next|near|left|right|and|or|is|cut)\b)[a-zäöüß]+")
""""Die" is an English noun too, but then no noun follows it."""


def require_english(text: str) -> None:
    """Let a lower-case query pass that may be English.

    Raises:
        BeyondRules: it is written in other letters than the Latin ones, or in another language, as far as its
            commonest words tell.
    """
    if other := _other_letters(text):
        raise BeyondRules(f"'{other}': it knows English only")
    words = re.findall(r"[^\W\d_]+", text)
    english = sum(word in _ENGLISH for word in words)
    counts = {name: sum(word in known for word in words) for name, known in _KNOWN_BY.items()}
    name, foreign = max(counts.items(), key=lambda pair: pair[1])
    if _GERMAN_DIE.match(text) and not english:
        name, foreign = "German", max(foreign, 1)
    if foreign > english or foreign == english > 1:
        raise BeyondRules(f"what looks like {name} ('{_shorten(text)}'): it knows English only")
    accented = [word for word in words if not word.isascii() and word not in _LOANS]
    if accented and not english:
        raise BeyondRules(f"the word '{accented[0]}': it knows English only")


def _other_letters(text: str) -> str:
    """Find the first word with a letter that is not Latin; "" where there is none."""
    for word in text.split():
        if any(
            char.isalpha() and not unicodedata.name(char, "").startswith(("LATIN", "FULLWIDTH LATIN")) for char in word
        ):
            return _shorten(word)
    return ""


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
