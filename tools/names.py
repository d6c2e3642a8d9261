"""Write src/ringfence/deid/data/names.json, the names that stand-ins are made of, and places.json, the places that are too large to tell who somebody is.

Run: python tools/names.py (needs `faker` and `pypinyin`, MIT, and `babel`, BSD, for the Unicode CLDR's territories, which the product does not
need; their notices lie beside the files)
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from babel import Locale
from pypinyin import Style, lazy_pinyin

TARGET = Path(__file__).parents[1] / "src" / "ringfence" / "deid" / "data"
LOCALES = ("en_US", "en_GB", "en_IN")

# Surnames of the Hundred Family Surnames and of the census lists; the traditional forms that differ follow the simplified ones.
SINGLE = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武"
    "钱戴严莫孔向常汤康易乔赖文樊倪凌霍兰殷安柯苗伍庄聂翁关包盛左鲁焦齐岳颜耿梅柴辛涂施纪柳骆裴屈鲍祝童项俞詹甘毕葛时管穆尚蒲卓饶路古车房欧符席舒楚丘褚宫党谷冉臧景费卜裘季娄解单应查闵"
    "池阮隋冷湛游邢官司连戚刁晏滕牛苟盖麦佟宗麻栾桑练缪窦简阎敖全瞿商米冀桂容宁仇鞠农蔺满仲竺边祁计伏成谈茅庞卞花俞酉柏水窦章云潘奚郎昌凤喻皮卡平和穆萧尤强粱杭洪诸左崔吉钮嵇邴糜松井富巫乌焦巴弓牧隗山蓬郗班仰秋仲伊"
    "宓蓟薄印宿怀从鄂索咸籍卓蔚越夔隆师巩厍晁勾融冷訾阚那鄢空曾毋沙乜养须丰巢蒯相荆红游竺权逯桓朴迟岑展冼区甄虞鄞郁储靳翟封芮羿邰暴钭厉戎束幸韶郦雍濮寿通扈燕郏浦温别晓"
    "張劉陳楊黃趙吳孫馬鄭謝許韓鄧馮蕭葉蘇呂盧鐘譚陸範賈鄒魯龍賀顧龔錢嚴湯喬賴倪蘭莊聶關齊顏駱紀項畢饒車歐費樓單應查閔連滿談龐雲鳳諸鈕烏師鞏權遲區儲靳厲邊"
)
COMPOUND = (
    "欧阳 歐陽 司马 司馬 上官 诸葛 諸葛 夏侯 东方 皇甫 尉迟 公孙 慕容 令狐 长孫 长孙 宇文 司徒 司空 端木 轩辕 独孤 南宫 闻人 赫连 澹台 公冶 宗政 濮阳 淳于 单于 太叔 申屠 仲孙 钟离 鲜于 闾丘 "
    "亓官 拓跋 夹谷 百里 呼延 东郭 南门 羊舌 微生 梁丘 左丘 西门 万俟 第五 范姜 张简"
)
READ_AS = {
    "单": "shan", "單": "shan", "解": "xie", "仇": "qiu", "查": "zha", "曾": "zeng", "区": "ou", "區": "ou", "任": "ren", "盖": "ge", "朴": "piao", "翟": "zhai",
    "缪": "miao", "乐": "yue", "冼": "xian", "尉迟": "yuchi", "长孙": "zhangsun", "万俟": "moqi", "单于": "chanyu", "澹台": "tantai", "宓": "mi", "种": "chong",
    "覃": "qin", "阚": "kan", "隗": "wei", "郗": "xi", "乜": "nie", "逯": "lu", "夏侯": "xiahou", "南宫": "nangong", "呼延": "huyan", "拓跋": "tuoba", "亓官": "qiguan",
    "令狐": "linghu", "鲜于": "xianyu", "濮阳": "puyang", "宿": "su", "纪": "ji", "紀": "ji", "石": "shi", "车": "che", "車": "che", "卜": "bu", "万": "wan", "莫": "mo",
}  # fmt: skip
FEMALE = (
    "芳娟敏静丽娜艳玲燕霞莉婷颖洁秀兰英红梅雪琳倩琴萍娇蕾薇菲瑶莹莎茜妍婉媛妮娴嫣婕姝姗婵娥媚妙芬芸芝芷若茹荷莲菊菁萱蓉蓓蔓薇馨香凤鸾莺瑛琪瑾璐琬珊珍珠琼瑜璇翠黛碧彩虹霓岚"
    "霏露云淑惠慧贤贞怡悦欢欣喜思念依盈沁涵汐溪漪澜滢潇冰凝纯素绮绣紫丹彤晴晶曦月晓桂桃杏柳樱棠楠"
)
MALE = (
    "伟强磊军洋勇杰涛超刚平辉鹏飞波斌宇浩凯健俊帆旭龙林亮成建峰国兵雷东博彬坤岩志刚毅力山海江河川泽洪源清润振兴荣昌盛富贵福禄寿康宁安邦定国栋梁柱材森木松柏桐桦枫炎焱煜炜炳烨灿"
    "辰曜昊昆晖晟朗钧铭锋锐铁钢鑫锦铎镇武威胜凌霄翔鸿鹤麒麟骏骁骥驰腾跃达通远航舟帆诚信义仁礼忠孝廉正直良善厚德道宏弘阔博渊学文翰墨书章彦哲睿智聪明颖悟思维理"
)
NEUTRAL = (
    "子一心可小天元永世新春夏秋冬阳光华玉金银宝佳美雅雨雪风晨曦景星辰宸逸然之以亦予与语言诗艺画音乐歌舒畅乔木禾苗田园青蓝白橙希望盼愿恒久长生逢时今朝伊尔嘉家齐平和谐同君卿知行为"
    "西南北中士民少奇起如意尧舜禹晗晞朵果豆米苏洛格非凡未来"
)

PAIRS = [(s, t) for s, t in zip(
    "张刘陈杨黄赵吴孙马郑谢许韩邓冯萧叶苏吕卢钟谭陆范贾邹鲁龙贺顾龚钱严汤乔赖兰庄聂关齐颜骆纪项毕饶车欧费楼单应闵连满谈庞云凤诸乌师巩权区储厉",
    "張劉陳楊黃趙吳孫馬鄭謝許韓鄧馮蕭葉蘇呂盧鐘譚陸範賈鄒魯龍賀顧龔錢嚴湯喬賴蘭莊聶關齊顏駱紀項畢饒車歐費樓單應閔連滿談龐雲鳳諸烏師鞏權區儲厲", strict=True
) if s != t]  # fmt: skip


STATES = [
    *(
        "Alabama Alaska Arizona Arkansas California Colorado Connecticut Delaware Florida Georgia Hawaii Idaho Illinois Indiana Iowa Kansas Kentucky "
        "Louisiana Maine Maryland Massachusetts Michigan Minnesota Mississippi Missouri Montana Nebraska Nevada Ohio Oklahoma Oregon Pennsylvania "
        "Tennessee Texas Utah Vermont Virginia Wisconsin Wyoming England Scotland Wales Britain Ontario Quebec Alberta Manitoba Saskatchewan "
        "Queensland Tasmania Europe Asia"
    ).split(),
    "New Hampshire", "New Jersey", "New Mexico", "North Carolina", "North Dakota", "Rhode Island", "South Carolina", "South Dakota",
    "West Virginia", "British Columbia", "Nova Scotia", "New South Wales", "Northern Ireland", "Great Britain", "Western Australia", "South Australia",
    "USA", "U.S.", "U.S.A.", "US", "UK", "U.K.", "EU", "UAE", "America", "Korea", "Holland", "the United States", "the U.S.", "the UK",
]  # fmt: skip
REGIONS_ZH = (
    "欧洲 亚洲 非洲 美洲 北美 南美 大洋洲 东南亚 东亚 中东 欧盟 华北 华东 华南 华中 西南 西北 东北 中华人民共和国 中国大陆 大陆 美利坚合众国 大不列颠 英格兰 苏格兰 韩 朝 台湾 香港 澳门 "
    "全国 全球 世界 海外 国外 国内 北韩 南韩 荷兰 俄国 苏联 欧美 中南美 北欧 西欧 东欧 南非"
).split()


def large_places() -> dict[str, list[str]]:
    """Return countries, continents and states, in English and in Chinese."""
    found = {"en": set(STATES), "zh": set(REGIONS_ZH)}
    for locale, group in (("en", "en"), ("zh_Hans", "zh"), ("zh_Hant", "zh")):
        found[group] |= {name for name in Locale.parse(locale).territories.values() if "SAR" not in name}
    return {group: sorted(names) for group, names in found.items()}


def readings() -> dict[str, str]:
    """Return the characters of GB 2312 by their first reading, without tones."""
    found: dict[str, str] = {}
    for high in range(0xB0, 0xF8):
        for low in range(0xA1, 0xFF):
            character = bytes((high, low)).decode("gb2312", "ignore")
            if character and (reading := lazy_pinyin(character, style=Style.NORMAL)[0].replace("ü", "v")).isascii():
                found[reading] = found.get(reading, "") + character
    return found


def main() -> None:
    """Write the file."""
    surnames = {name: READ_AS.get(name) or "".join(lazy_pinyin(name, style=Style.NORMAL)) for name in (*SINGLE, *COMPOUND.split())}
    given: dict[str, dict[str, str]] = {}
    for group, characters in (("f", FEMALE), ("m", MALE), ("n", NEUTRAL)):
        taken = {c for done in given.values() for c in done}
        given[group] = {c: lazy_pinyin(c, style=Style.NORMAL)[0].replace("ü", "v") for c in dict.fromkeys(characters) if c not in taken}
    english: dict[str, dict[str, None]] = {"f": {}, "m": {}, "last": {}}
    for locale in LOCALES:
        people: Any = import_module(f"faker.providers.person.{locale}").Provider
        english["f"] |= dict.fromkeys(map(str, people.first_names_female))
        english["m"] |= dict.fromkeys(map(str, people.first_names_male))
        english["last"] |= dict.fromkeys(map(str, people.last_names))
    both = english["f"].keys() & english["m"].keys()
    names = {
        "zh": {"surnames": surnames, "compound": COMPOUND.split(), "given": given, "readings": readings(), "traditional": dict(PAIRS)},
        "en": {
            group: sorted(name for name in english[group] if name.isascii() and name.isalpha() and name not in both) for group in english
        },
    }
    names["en"]["n"] = sorted(name for name in both if name.isascii() and name.isalpha())
    (TARGET / "places.json").write_text(json.dumps(large_places(), ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    (TARGET / "names.json").write_text(json.dumps(names, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
